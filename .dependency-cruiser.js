// The walls between the rooms of src: who may import what, types included. Part of `npm run lint`.

const errors = '^src/errors\\.ts$'
const options = '^src/options\\.ts$'
const rules = '^src/rules/'
const patterns = '^src/rules/patterns/'
const store = '^src/store/'
const shared = '^src/store/(migrations/)?[^/]+\\.ts$'
const http = '^src/http/'
const cli = '^src/cli/'
const openStore = '^src/store/open-store\\.ts$'

/** What lives in `from` imports of src what is named here, and nothing else. */
function wall(room, from, ...allowed) {
  return { name: `wall-of-${room}`, severity: 'error', from, to: { path: '^src/', pathNot: allowed } }
}

/** Packages that only these rooms may import. */
function reserve(name, packages, ...rooms) {
  return {
    name,
    severity: 'error',
    from: { path: '^src/', pathNot: rooms },
    to: { path: [`^node_modules/(@types/)?(${packages})/`, `^(${packages})(/|$)`] }
  }
}

export default {
  forbidden: [
    { name: 'no-circle', severity: 'error', from: {}, to: { circular: true } },
    // Coverage knows only what was loaded.
    { name: 'no-orphan', severity: 'error', from: { orphan: true }, to: {} },
    // What is not found is behind no wall.
    { name: 'no-unknown-import', severity: 'error', from: {}, to: { couldNotResolve: true } },

    wall('errors', { path: errors }),
    wall('options', { path: options }, errors, rules, store, '^src/database-advice\\.ts$'),
    wall('rules', { path: rules }, rules, errors, '^src/store/(operation|queries|tables)\\.ts$'),
    wall('http', { path: http }, http, rules, errors, options, '^src/store/(store|operation|queries)\\.ts$'),
    wall('store', { path: shared, pathNot: openStore }, shared, errors),
    // Picks the engine, so it knows all of them, as they do not know each other.
    wall('open-store', { path: openStore }, store, errors),
    wall('sqlite', { path: '^src/store/sqlite/' }, '^src/store/sqlite/', shared, errors),
    wall('postgres', { path: '^src/store/postgres/' }, '^src/store/postgres/', shared, errors),
    { name: 'patterns-have-one-entry', severity: 'error', from: { path: '^src/', pathNot: patterns }, to: { path: patterns, pathNot: `${patterns}index\\.ts$` } },
    { name: 'cli-is-for-cli', severity: 'error', from: { pathNot: cli }, to: { path: cli } },
    {
      // But for an engine's handle.ts, which says what a handle of it looks like.
      name: 'options-import-only-types-of-rules-and-store',
      severity: 'error',
      from: { path: options },
      to: { path: [rules, store], pathNot: '^src/store/(sqlite|postgres)/handle\\.ts$', dependencyTypesNot: ['type-only'] }
    },

    reserve('kysely-is-for-store-and-cli', 'kysely', store, cli),
    reserve('drivers-are-for-cli', 'better-sqlite3|pg', cli),
    reserve('fastify-is-not-for-rules-and-store', 'fastify|fastify-plugin', '^src/(index|options)\\.ts$', http, cli)
  ],
  options: {
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    doNotFollow: { path: 'node_modules' },
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['types', 'import', 'node', 'default'] }
  }
}

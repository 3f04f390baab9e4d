// Which file may import which, types included. Part of `npm run lint`.

// The paths of src as patterns. Every layer may import the first.
const errors = '^src/(errors|diagnostics)\\.ts$'
const options = '^src/options\\.ts$'
const rules = '^src/rules/'
const patterns = '^src/rules/patterns/'
const store = '^src/store/'
const storeForAllEngines = '^src/store/(migrations/)?[^/]+\\.ts$'
const http = '^src/http/'
const cli = '^src/cli/'
const openStore = '^src/store/open-store\\.ts$'

/** The files in `from` import only these files of src. */
function allow(name, from, ...allowed) {
  return { name: `imports-of-${name}`, severity: 'error', from, to: { path: '^src/', pathNot: allowed } }
}

function forbid(name, from, to) {
  return { name, severity: 'error', from: { path: from }, to: { path: to } }
}

/** In src, only these folders import these packages. */
function reserve(name, packages, ...folders) {
  return {
    name,
    severity: 'error',
    from: { path: '^src/', pathNot: folders },
    to: { path: [`^node_modules/(@types/)?(${packages})/`, `^(${packages})(/|$)`] }
  }
}

export default {
  forbidden: [
    { name: 'no-circle', severity: 'error', from: {}, to: { circular: true } },
    // Coverage includes only files that a test loads.
    { name: 'no-orphan', severity: 'error', from: { path: '^src/', orphan: true }, to: {} },
    // The rules below do not see an import that cannot be resolved. dist is there only after a build.
    { name: 'no-unknown-import', severity: 'error', from: {}, to: { couldNotResolve: true, pathNot: '/dist/' } },

    forbid('src-imports-only-src', '^src/', '^(test|bench|examples|scripts)/'),
    forbid('bench-is-for-bench', '^(test|examples|scripts)/', '^bench/'),
    forbid('examples-are-for-tests', '^(bench|scripts)/', '^examples/'),

    allow('errors', { path: errors }, errors),
    allow('options', { path: options }, errors, rules, store, '^src/database-advice\\.ts$'),
    allow('rules', { path: rules }, rules, errors, '^src/store/(operation|queries|tables)\\.ts$'),
    allow('http', { path: http }, http, rules, errors, options, '^src/store/(store|operation|queries)\\.ts$'),
    allow('store', { path: storeForAllEngines, pathNot: openStore }, storeForAllEngines, errors),
    // Chooses the engine. The engines do not import each other.
    allow('open-store', { path: openStore }, store, errors),
    allow('sqlite', { path: '^src/store/sqlite/' }, '^src/store/sqlite/', storeForAllEngines, errors),
    allow('postgres', { path: '^src/store/postgres/' }, '^src/store/postgres/', storeForAllEngines, errors),
    {
      name: 'patterns-have-one-entry',
      severity: 'error',
      from: { path: '^src/', pathNot: patterns },
      to: { path: patterns, pathNot: `${patterns}index\\.ts$` }
    },
    { name: 'cli-is-for-cli', severity: 'error', from: { path: '^src/', pathNot: cli }, to: { path: cli } },
    {
      // And handle.ts of an engine, which recognises its handles.
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
    exclude: { path: '^test/(fixtures|clients/calls)/' },
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['types', 'import', 'node', 'default'] }
  }
}

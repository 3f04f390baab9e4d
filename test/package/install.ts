// Installs the packed package: alone beside links to the packages that are installed here, or with npm in projects. npm's linked strategy
// hoists nothing, like pnpm: a project finds only the packages that it names, and a package only those in its package.json. One
// installation serves all projects, because it takes long.

import { execFile } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { promisify } from 'node:util'
import type { Test } from 'tap'
import '../helpers/children.js'

export const ownName = 'fastify-omnichannel-contacts'

/** Resolves to stdout. An error has stdout and stderr. */
export async function run (file: string, args: string[], cwd?: string, env = process.env): Promise<string> {
  const { stdout } = await promisify(execFile)(file, args, { cwd, env }).catch((error: unknown) => {
    const { stdout, stderr } = error as Record<'stdout' | 'stderr', string>
    throw new Error(`${file} ${args.join(' ')}\n${stdout}${stderr}`)
  })
  return stdout
}

/** Puts the packed package into a folder, as an installation would, but without other packages. Returns its path. */
export async function unpack (modules: string): Promise<string> {
  const place = join(modules, ownName)
  mkdirSync(place, { recursive: true })
  await run('npm', ['pack', '--ignore-scripts', '--pack-destination', modules])
  await run('tar', ['xzf', `${ownName}-${versionOf('..')}.tgz`, '-C', ownName, '--strip-components', '1'], modules)
  return place
}

/** Links a package, by default one that is installed here, into the folder `modules`. */
export function link (name: string, modules: string, from = resolve('node_modules')): void {
  mkdirSync(dirname(join(modules, name)), { recursive: true })
  symlinkSync(join(from, name), join(modules, name), 'junction')
}

export function versionOf (name: string, folder = '.'): string {
  return (JSON.parse(readFileSync(join(folder, 'node_modules', name, 'package.json'), 'utf8')) as { version: string }).version
}

/** Makes a project of each list of packages. A name without a range gets the version that is installed here. */
export async function install (t: Test, projects: Record<string, string[]>): Promise<string> {
  // Outside of the repository, so that only what was installed can be found.
  const folder = mkdtempSync(join(tmpdir(), `${ownName}-`))
  t.teardown(() => { rmSync(folder, { recursive: true }) })
  await run('npm', ['pack', '--ignore-scripts', '--pack-destination', folder])
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ private: true, workspaces: Object.keys(projects) }))
  for (const [name, packages] of Object.entries(projects)) {
    mkdirSync(join(folder, name))
    const dependencies = Object.fromEntries(packages.map((spec) => [nameOf(spec), rangeOf(spec, folder)]))
    writeFileSync(join(folder, name, 'package.json'), JSON.stringify({ name, private: true, type: 'module', dependencies }))
  }
  await run('npm', ['install', '--install-strategy=linked', '--prefer-offline', '--ignore-scripts', '--no-audit', '--no-fund'], folder)
  // Building the addon again would take over a minute. Version 13 contains it.
  const addon = 'node_modules/better-sqlite3/build/Release/better_sqlite3.node'
  if (!existsSync(addon)) return folder
  for (const [name, packages] of Object.entries(projects)) if (packages.some((spec) => nameOf(spec) === 'better-sqlite3')) cpSync(addon, join(folder, name, addon))
  return folder
}

/** The name in name, name@range or @scope/name@range. */
function nameOf (spec: string): string {
  return spec.replace(/(?<=.)@.*/, '')
}

function rangeOf (spec: string, folder: string): string {
  const name = nameOf(spec)
  if (name === ownName) return `file:${join(folder, `${ownName}-${versionOf('..')}.tgz`)}`
  return spec === name ? versionOf(name) : spec.slice(name.length + 1)
}

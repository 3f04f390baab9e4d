// Installs the packed package in two ways: `unpack` and `link` put it beside links to packages of the repository, `install` installs it
// with npm.

import { execFile } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { promisify } from 'node:util'
import type { Test } from 'tap'
import '../helpers/children-without-tap.js'

export const ownName = 'fastify-omnichannel-contacts'

/** Runs a program. Resolves to its stdout. If it fails, the error has stdout and stderr. */
export async function run (file: string, args: string[], cwd?: string, env = process.env): Promise<string> {
  const { stdout } = await promisify(execFile)(file, args, { cwd, env }).catch((error: unknown) => {
    const { stdout, stderr } = error as Record<'stdout' | 'stderr', string>
    throw new Error(`${file} ${args.join(' ')}\n${stdout}${stderr}`)
  })
  return stdout
}

/** Puts the packed package into a folder `node_modules`, without its dependencies. */
export async function unpack (nodeModules: string): Promise<void> {
  mkdirSync(join(nodeModules, ownName), { recursive: true })
  await run('npm', ['pack', '--ignore-scripts', '--pack-destination', nodeModules])
  await run('tar', ['xzf', tarballName(), '-C', ownName, '--strip-components', '1'], nodeModules)
}

/** Links a package into a folder `node_modules`. By default the package is that of the repository. */
export function link (name: string, nodeModules: string, from = resolve('node_modules')): void {
  mkdirSync(dirname(join(nodeModules, name)), { recursive: true })
  symlinkSync(join(from, name), join(nodeModules, name), 'junction')
}

/** The version of a package that is installed in a folder, by default in the repository. */
export function versionOf (name: string, folder = '.'): string {
  return readVersion(join(folder, 'node_modules', name))
}

function readVersion (folder: string): string {
  return (JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as { version: string }).version
}

function tarballName (): string {
  return `${ownName}-${readVersion('.')}.tgz`
}

/**
 * Installs packages with npm: one project for each list, in a folder with its name. npm's linked strategy does not hoist, as with pnpm:
 * a project finds only the packages of its list, and a package only its own dependencies. One installation serves all projects, because it
 * takes long.
 *
 * @param projects lists of packages; a name without a range gets the version of the repository
 * @returns the folder of the projects
 */
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
  // --ignore-scripts has not compiled the addon of better-sqlite3 12, so copy the repository's. Version 13 is packed with its addon.
  const addon = 'node_modules/better-sqlite3/build/Release/better_sqlite3.node'
  for (const [name, packages] of Object.entries(projects)) {
    if (existsSync(addon) && packages.some((spec) => nameOf(spec) === 'better-sqlite3')) cpSync(addon, join(folder, name, addon))
  }
  return folder
}

/** The name in `name`, `name@range`, `@scope/name` or `@scope/name@range`. */
function nameOf (spec: string): string {
  return spec.replace(/(?<=.)@.*/, '')
}

function rangeOf (spec: string, folder: string): string {
  const name = nameOf(spec)
  if (name === ownName) return `file:${join(folder, tarballName())}`
  return spec === name ? versionOf(name) : spec.slice(name.length + 1)
}

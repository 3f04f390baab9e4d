// The comment at the top of each example agrees with its imports and with the list in examples/README.md.

import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { examples, installedBy, sourceOf } from './example-files.js'
import { ownName } from './install.js'

t.test('each example: says to install exactly what it imports, with types', async (t) => {
  for (const example of examples) {
    const imports = [...sourceOf(example).matchAll(/^import .* from '([^']+)'$/gm)].map(([, name]) => name!).filter((name) => !name.startsWith('node:'))
    const types = ['node', ...imports].map(typePackageOf).filter((name) => existsSync(join('node_modules', name)))
    const { packages, tools } = installedBy(example)
    t.strictSame(packages.sort(), imports.sort(), example)
    t.strictSame(tools.sort(), ['tsx', ...types].sort(), example)
  }
})

/** The package of DefinitelyTyped for a package: `@types/pg`, and `@types/scope__name` for `@scope/name`. */
function typePackageOf (name: string): string {
  return `@types/${name.replace(/^@(.*)\//, '$1__')}`
}

t.test('each example: says how it is saved, has a test that says how it is run, and works outside of the repository', async (t) => {
  for (const example of examples) {
    t.match(sourceOf(example), new RegExp(`^// In an empty folder, saved as ${example}\\.ts:$`, 'm'), example)
    t.match(readFileSync(`examples/${example}.test.ts`, 'utf8'), `npx tap --disable-coverage examples/${example}.test.ts`)
    t.notMatch(sourceOf(example), /\.\.\/|TODO/, example)
  }
})

const list = readFileSync('examples/README.md', 'utf8')

t.test('the list in examples/README.md: has each example, with its packages and the command that runs it', async (t) => {
  for (const example of examples) {
    const [, command = ''] = new RegExp(`^// {3}(.*npx tsx ${example}\\.ts)$`, 'm').exec(sourceOf(example)) ?? []
    const row = list.split('\n').find((line) => line.startsWith(`| [${example}.ts](${example}.ts) |`)) ?? ''
    const [, , , packagesInRow, commandInRow] = row.split(/ *\| */)
    t.equal(commandInRow, `\`${command}\``)
    const packages = installedBy(example).packages.filter((name) => name !== ownName && name !== 'fastify')
    t.strictSame(packagesInRow?.match(/[^`, ]+/g) ?? [], packages, example)
  }
})

t.test('npm scripts and files named in the list: exist', async (t) => {
  const { scripts } = JSON.parse(readFileSync('package.json', 'utf8')) as { scripts: Record<string, string> }
  for (const [, script] of list.matchAll(/npm run ([\w:-]+)/g)) t.hasOwnProp(scripts, script!)
  for (const [, file] of list.matchAll(/\]\(([^)#:]+)\)/g)) t.ok(existsSync(join('examples', file!)), file!)
})

t.test('history, outbox and duplicates: under sixty lines of host code each', async (t) => {
  for (const example of ['history', 'outbox', 'duplicates']) {
    const [codeOfHost] = sourceOf(example).split('\nexport function addDemoData')
    const isComment = (line: string): boolean => /^ *(\/\/|\/\*\*)/.test(line)
    const lines = codeOfHost!.split('\n').filter((line) => line.trim() !== '' && !isComment(line))
    t.ok(lines.length < 60, `${example}: ${lines.length}`)
  }
})

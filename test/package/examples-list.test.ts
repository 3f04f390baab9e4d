// The examples agree with their list and with their own imports.

import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { examples, installs, sourceOf } from './example-files.js'
import { ownName } from './install.js'

t.test('examples: install exactly what they import, with its types', async (t) => {
  for (const example of examples) {
    const imports = [...sourceOf(example).matchAll(/^import .* from '([^']+)'$/gm)].map(([, name]) => name!).filter((name) => !name.startsWith('node:'))
    const types = ['node', ...imports].map((name) => `@types/${name.replace(/^@(.*)\//, '$1__')}`).filter((name) => existsSync(join('node_modules', name)))
    const [packages, tools] = installs(example)
    t.strictSame(packages.sort(), imports.sort(), example)
    t.strictSame(tools.sort(), ['tsx', ...types].sort(), example)
  }
})

t.test('examples: say how they are saved and run, have a test, and are in the list with what they need', async (t) => {
  const list = readFileSync('examples/README.md', 'utf8')
  for (const example of examples) {
    const text = sourceOf(example)
    t.match(text, new RegExp(`^// In an empty folder, saved as ${example}\\.ts:$`, 'm'), example)
    const [, run] = new RegExp(`^// {3}(.*npx tsx ${example}\\.ts)$`, 'm').exec(text) ?? []
    t.match(readFileSync(`examples/${example}.test.ts`, 'utf8'), `npx tap --disable-coverage examples/${example}.test.ts`)
    const row = list.split('\n').find((line) => line.startsWith(`| [${example}.ts](${example}.ts) |`)) ?? ''
    const [, , , install, command] = row.split(/ *\| */)
    t.equal(command, `\`${run ?? ''}\``)
    t.strictSame(install?.match(/[^`, ]+/g) ?? [], installs(example)[0].filter((name) => name !== ownName && name !== 'fastify'), example)
    t.notMatch(text, /\.\.\/|TODO/, example)
  }
  const { scripts } = JSON.parse(readFileSync('package.json', 'utf8')) as { scripts: Record<string, string> }
  for (const [, script] of list.matchAll(/npm run ([\w:-]+)/g)) t.hasOwnProp(scripts, script!)
  for (const [, file] of list.matchAll(/\]\(([^)#:]+)\)/g)) t.ok(existsSync(join('examples', file!)), file!)
})

t.test('history, outbox and duplicates: under sixty lines of host code each', async (t) => {
  for (const example of ['history', 'outbox', 'duplicates']) {
    const [host] = sourceOf(example).split('\nexport function addDemo')
    const lines = host!.split('\n').filter((line) => line.trim() !== '' && !/^ *(\/\/|\/\*\*)/.test(line))
    t.ok(lines.length < 60, `${example}: ${lines.length}`)
  }
})

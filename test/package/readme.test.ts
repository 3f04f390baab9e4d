import { existsSync, readFileSync } from 'node:fs'
import t from 'tap'
import { codesOf, packages, readme, section, tableOf } from './readme.js'

// That its snippets run is tested where the package is installed: package-install.test.ts.

const { name, scripts, engines, peerDependencies, peerDependenciesMeta } = JSON.parse(readFileSync('package.json', 'utf8')) as {
  name: string
  scripts: object
  engines: { node: string }
  peerDependencies: Record<string, string>
  peerDependenciesMeta: object
}

t.test('it can be read in one go', async (t) => {
  t.ok(readme.split('\n').length <= 221, 'at most 220 lines')
})

t.test('every npm script that is named exists', async (t) => {
  const named = [...readme.matchAll(/npm run ([\w:-]+)/g)].map(([, name]) => name!)
  t.ok(named.includes('demo'))
  for (const name of named) t.hasOwnProp(scripts, name)
})

t.test('every file and every heading that is linked exists', async (t) => {
  for (const [, path] of readme.matchAll(/\]\((?!https?:|#)([^)#]+)/g)) t.ok(existsSync(path!), path!)
  const headings = [...readme.matchAll(/^## (.*)$/gm)].map(([, heading]) => `#${heading!.toLowerCase().replaceAll(' ', '-')}`)
  for (const [, heading] of readme.matchAll(/\]\((#[^)]+)\)/g)) t.ok(headings.includes(heading!), heading!)
})

t.test('Install: names every peer with its versions, and the same packages for each Node.js and package manager', async (t) => {
  const text = section('Install')
  const versions = (range: string) => range.split(' || ').map((each) => each.replace(/^\^/, '').replace(/(\.0)+$/, '')).join(' or ')
  for (const [name, range] of Object.entries(peerDependencies)) {
    t.match(text.replaceAll(/\s+/g, ' '), `${name} ${name === 'pg' ? `${versions(range)} or later` : versions(range)}`)
  }
  t.match(readme, `Node.js ${engines.node.replace(/^>=/, '').replace(/\.0$/, '')} or later`)

  const plain = packages.filter((name) => !name.startsWith('@types/'))
  const needed = Object.keys(peerDependencies).filter((peer) => !(peer in peerDependenciesMeta))
  t.strictSame(new Set(plain), new Set([name, ...needed]))
  const older = [...text.matchAll(/(?:npm install|pnpm add(?: --\S+)*) (.*@.*?) *#/g)].map(([, names]) => names!.split(' '))
    .filter((names) => names.includes('fastify'))
  t.ok(older.length > 0)
  for (const names of older) t.strictSame(names.map((name) => name.replace(/@.*/, '')), plain)
})

t.test('the examples: each with what it imports beside the packages of Install', async (t) => {
  for (const { example, after } of tableOf('The smallest server')) {
    const files = [...example!.matchAll(/\]\((\S+\.ts)\)/g)].map(([, file]) => file!).filter((file) => existsSync(file))
    const imported = files.flatMap((file) => [...readFileSync(file, 'utf8').matchAll(/^(?:import|\} from) .*?'((?:@[^/']+\/)?[^./'][^/']*)/gm)])
      .map(([, name]) => name!).filter((name) => !name.startsWith('node:') && !packages.includes(name))
    const installed = codesOf(after!).flatMap((command) => command.replace('npm install ', '').split(' '))
    if (files.length > 0) t.strictSame([...new Set(imported)].sort(), installed.sort(), example!)
  }
})

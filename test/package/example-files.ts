// The examples, and the packages that the comment at the top of each tells the reader to install.

import { readdirSync, readFileSync } from 'node:fs'

export const examples = readdirSync('examples').filter((file) => file.endsWith('.ts') && !file.endsWith('.test.ts')).map((file) => file.slice(0, -3))

export function sourceOf (example: string): string {
  return readFileSync(`examples/${example}.ts`, 'utf8')
}

/** The packages of the two npm install lines: those that it imports, and its development tools. */
export function installedBy (example: string): { packages: string[], tools: string[] } {
  const source = sourceOf(example)
  const [, packages = ''] = /^\/\/ {3}npm install (?!--save-dev)(\S.*)$/m.exec(source) ?? []
  const [, tools = ''] = /^\/\/ {3}npm install --save-dev (\S.*)$/m.exec(source) ?? []
  return { packages: packages.split(' '), tools: tools.split(' ') }
}

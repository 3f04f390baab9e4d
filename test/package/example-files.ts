// The examples of one file each, and the packages that their first lines name.

import { readdirSync, readFileSync } from 'node:fs'

export const examples = readdirSync('examples').filter((file) => file.endsWith('.ts') && !file.endsWith('.test.ts')).map((file) => file.slice(0, -3))

export function sourceOf (example: string): string {
  return readFileSync(`examples/${example}.ts`, 'utf8')
}

/** The packages that an example says to install: for its imports, and for its tools. */
export function installs (example: string): [packages: string[], tools: string[]] {
  const [, packages = '', tools = ''] = /^\/\/ {3}npm install (\S.*)\n\/\/ {3}npm install --save-dev (\S.*)$/m.exec(sourceOf(example)) ?? []
  return [packages.split(' '), tools.split(' ')]
}

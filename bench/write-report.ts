// What a run measured, put where people read it: into bench/README.md, between the marks of its engine.

import { readFileSync, writeFileSync } from 'node:fs'

const readme = new URL('README.md', import.meta.url)

export function writeReport (engine: 'sqlite' | 'postgres', text: string, chart?: string): void {
  const [begin, end] = [`<!-- ${engine} -->`, `<!-- end of ${engine} -->`]
  const [before, rest] = readFileSync(readme, 'utf8').split(begin) as [string, string]
  writeFileSync(readme, `${before}${begin}\n\n${text}\n\n${end}${rest.split(end)[1] ?? ''}`)
  if (chart !== undefined) writeFileSync(new URL('chart.svg', import.meta.url), chart)
}

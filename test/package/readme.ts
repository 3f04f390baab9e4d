// The README, as what tests look at: its blocks of code and its tables.

import { readFileSync } from 'node:fs'

export const readme = readFileSync('README.md', 'utf8')

/** The text under a heading. */
export function section (heading: string): string {
  const [, text] = new RegExp(`^## ${heading}\n(.*?)(?=^## |(?![^]))`, 'ms').exec(readme) ?? []
  if (text === undefined) throw new Error(`The README has no section "${heading}"`)
  return text
}

/** The code in a text, as in `code`. */
export function codesOf (text: string): string[] {
  return [...text.matchAll(/`([^`]+)`/g)].map(([, code]) => code!.replaceAll('\\|', '|'))
}

export type Row = Record<string, string>

/** The rows of the first table under a heading, each with its cells by their column, of which one may have no title. */
export function tableOf (heading: string): Row[] {
  const [titles, , ...rows] = section(heading).match(/^\|.*\|$/gm)!.map((line) =>
    line.slice(1, -1).split(/(?<!\\)\|/).map((cell) => cell.trim()))
  return rows.map((cells) => Object.fromEntries(titles!.map((title, index) => [title.replaceAll('`', ''), cells[index]!])))
}

export interface Block {
  language: string
  text: string
}

export const blocks: Block[] = [...readme.matchAll(/^```(\w+)\n(.*?)^```$/gms)]
  .map(([, language, text]) => ({ language: language!, text: text! }))

/** What Install says to install: with the newest Node.js, and for TypeScript. */
export const packages = [...section('Install').matchAll(/^npm install (.*?) *(?:#.*)?$/gm)]
  .map(([, words]) => words!.split(' ').filter((word) => !word.startsWith('-')))
  .filter((names) => !names.some((name) => name.includes('@', 1)))
  .flat()

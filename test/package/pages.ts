// Reads the sections, tables and code blocks of README and docs.

import { readFileSync, readdirSync } from 'node:fs'

export type Row = Record<string, string>

export interface Block {
  language: string
  text: string
}

export interface Page {
  path: string
  text: string
  blocks: Block[]
  /** The text under a heading of any level, up to the next heading of the same or a higher level. */
  section: (heading: string) => string
  /**
   * The rows of a table, as objects of cells by the title of their column. A title may be empty.
   *
   * @param title the title of the table's first column; without it, the first table under the heading is read
   */
  tableOf: (heading: string, title?: string) => Row[]
}

export function readPage (path: string): Page {
  const text = readFileSync(path, 'utf8')

  const section: Page['section'] = (heading) => {
    const [, level = '', body] = new RegExp(`^(#+) ${escape(heading)}\n(.*)`, 'ms').exec(text) ?? []
    if (body === undefined) throw new Error(`${path} has no section "${heading}"`)
    return body.split(new RegExp(`^#{1,${level.length}} `, 'm'))[0]!
  }

  return {
    path,
    text,
    section,
    blocks: [...text.matchAll(/^( *)```(\w+)\n(.*?)^ *```$/gms)]
      .map(([, indent = '', language, code]) => ({ language: language!, text: code!.replaceAll(new RegExp(`^${indent}`, 'gm'), '') })),
    tableOf: (heading, title) => {
      const tables = section(heading).match(/(?:^ *\|.*\|\n)+/gm)!.map((table) => table.trimEnd().split('\n').map((line) =>
        line.trim().slice(1, -1).split(/(?<!\\)\|/).map((cell) => cell.trim())))
      const table = tables.find(([titles]) => title === undefined || titles![0]!.replaceAll('`', '') === title)
      if (table === undefined) throw new Error(`${path} has no table "${title}" under "${heading}"`)
      const [titles, , ...rows] = table
      return rows.map((cells) => Object.fromEntries(titles!.map((title, index) => [title.replaceAll('`', ''), cells[index]!])))
    }
  }
}

export const readme = readPage('README.md')
export const docs = readdirSync('docs').filter((name) => name.endsWith('.md')).map((name) => readPage(`docs/${name}`))

export function doc (name: string): Page {
  return docs.find(({ path }) => path === `docs/${name}.md`)!
}

/** The inline code in a text, without its backquotes. */
export function codesOf (text: string): string[] {
  return [...text.replaceAll(/^ *```.*?^ *```$/gms, '').matchAll(/`([^`]+)`/g)].map(([, code]) => code!.replaceAll('\\|', '|'))
}

/** The packages that the commands of a text install, as one list for each command. */
export function installsOf (text: string): string[][] {
  return [...text.matchAll(/(?<=^|`)(?:npm install|pnpm add|yarn add) ([^`\n]*)/gm)]
    .map(([, words]) => words!.trim().split(' ').filter((word) => !word.startsWith('-')))
}

/** What the README says to install for a row of its table. */
export function packagesFor (start: string): string[] {
  const row = readme.tableOf('Install').find((row) => row['you have']!.startsWith(start))
  return installsOf(row!.command!)[0]!
}

/** The packages with types that docs/install.md names. */
export const typePackages = installsOf(doc('install').section('TypeScript'))[0]!

/** The anchors that GitHub makes of the headings of a page. */
export function anchorsOf (text: string): string[] {
  return [...text.matchAll(/^#+ (.*)$/gm)].map(([, heading]) => heading!.toLowerCase().replaceAll(/[^\p{L}\p{N} _-]/gu, '').replaceAll(' ', '-'))
}

function escape (text: string): string {
  return text.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`)
}

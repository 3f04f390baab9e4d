// Reads Markdown pages: their sections, tables and code blocks.

import { readFileSync, readdirSync } from 'node:fs'

/** The cells of a row of a table, by the title of their column. A title may be empty. */
export type Row = Record<string, string>

/** A code block. */
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
  /** The rows of the first table under a heading, or of the table there whose first column has this title. */
  tableOf: (heading: string, firstTitle?: string) => Row[]
}

export function readPage (path: string): Page {
  const text = readFileSync(path, 'utf8')

  const section: Page['section'] = (heading) => {
    const [, hashes = '', rest] = new RegExp(`^(#+) ${escapeRegExp(heading)}\n(.*)`, 'ms').exec(text) ?? []
    if (rest === undefined) throw new Error(`${path} has no section "${heading}"`)
    const nextHeading = new RegExp(`^#{1,${hashes.length}} `, 'm')
    return rest.split(nextHeading)[0]!
  }

  return {
    path,
    text,
    section,
    // A block in a list is indented.
    blocks: [...text.matchAll(/^( *)```(\w+)\n(.*?)^ *```$/gms)]
      .map(([, indent = '', language, code]) => ({ language: language!, text: code!.replaceAll(new RegExp(`^${indent}`, 'gm'), '') })),
    tableOf: (heading, firstTitle) => {
      const tables = section(heading).match(/(?:^ *\|.*\|\n)+/gm)!.map((table) => table.trimEnd().split('\n').map(cellsOf))
      const table = tables.find(([titles]) => firstTitle === undefined || withoutBackquotes(titles![0]!) === firstTitle)
      if (table === undefined) throw new Error(`${path} has no table "${firstTitle}" under "${heading}"`)
      // The second line separates the titles from the rows.
      const [titles, , ...rows] = table
      return rows.map((cells) => Object.fromEntries(titles!.map((title, index) => [withoutBackquotes(title), cells[index]!])))
    }
  }
}

/** The cells of a line of a table. A vertical bar after a backslash is a part of its cell. */
function cellsOf (line: string): string[] {
  return line.trim().slice(1, -1).split(/(?<!\\)\|/).map((cell) => cell.trim())
}

function withoutBackquotes (text: string): string {
  return text.replaceAll('`', '')
}

export const readme = readPage('README.md')
export const docs = readdirSync('docs').filter((name) => name.endsWith('.md')).map((name) => readPage(`docs/${name}`))

/** The page `docs/<name>.md`. */
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

/** The packages to install, by the README, for someone who has for example `Node.js 22`. */
export function packagesFor (youHave: string): string[] {
  const row = readme.tableOf('Install').find((row) => row['you have']!.startsWith(youHave))
  return installsOf(row!.command!)[0]!
}

/** The packages of type declarations, such as `@types/node`, that docs/install.md installs. */
export const typePackages = installsOf(doc('install').section('TypeScript'))[0]!

/** The anchors that GitHub makes of the headings of a page. */
export function anchorsOf (text: string): string[] {
  return [...text.matchAll(/^#+ (.*)$/gm)].map(([, heading]) => heading!.toLowerCase().replaceAll(/[^\p{L}\p{N} _-]/gu, '').replaceAll(' ', '-'))
}

function escapeRegExp (text: string): string {
  return text.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`)
}

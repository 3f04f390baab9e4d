// Fails on sentences that are hard to read: longer than 28 words, or with a pronoun for a subject. Reads the pages, and the comments of the
// code. Code and quotations are left out.
//
// tsx scripts/check-prose.ts

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

const maxWords = 28
/** Pronouns as subjects: some anywhere in a sentence, others only at its beginning, after the marks of a list or a heading. */
const banned = /\b(?:somebody|nobody|anybody|everybody|whoever|whatever|those that|it and what)\b|^(?:[-*#\d. ]*)(?:who may|who has|what is)\b/i

/** The files in a folder. `git ls-files` would fail in a copy of the source that is no repository. */
const filesIn = (folder: string, recursive: boolean): string[] => readdirSync(folder, { recursive, encoding: 'utf8' }).map((name) => join(folder, name))
const pages = filesIn('.', false).concat(['.github', 'docs', 'bench', 'examples'].flatMap((folder) => filesIn(folder, true))).filter((file) => file.endsWith('.md'))
const programs = ['src', 'bench', 'examples', 'scripts'].flatMap((folder) => filesIn(folder, true)).filter((file) => /(?<!generated)\.[jt]s$/.test(file))
const codeBlock = /^ *```.*?^ *```$/gms
const targetOfLink = /\]\([^)]*\)/g
const codeOrQuotation = /`[^`\n]+`|"[^"\n]*"|“[^”]*”/g
// A heading, an item of a list, a cell of a table and a tag of TSDoc end a sentence, as an empty line does.
const endOfSentence = /\n(?=\s*(?:[-*#|@]|\d+\.) ?)|\n\s*\n|\||(?<=[.!?])\s+/
const comment = /(?:^ *\/\/.*\n)+|\/\*\*[^]*?\*\//gm
const commentMark = /^ *(?:\/\/|\/?\*+\/?) ?|\*\/$/gm

/** The comments of a program. A command in a comment, which is indented, is left out. */
function commentsOf (code: string): string {
  const comments = Array.from(code.matchAll(comment), ([text]) => text.replaceAll(commentMark, '').replaceAll(/^ {2}.*$/gm, ''))
  return comments.join('\n\n')
}

for (const file of [...pages, ...programs]) {
  const text = readFileSync(file, 'utf8')
  const prose = (file.endsWith('.md') ? text : commentsOf(text)).replaceAll(codeBlock, '').replaceAll(targetOfLink, ']').replaceAll(codeOrQuotation, 'x')
  for (const sentence of prose.split(endOfSentence).map((text) => text.replaceAll(/\s+/g, ' ').trim())) {
    const words = sentence.split(' ').filter((word) => /\p{L}|\d/u.test(word)).length
    const [bannedWord] = banned.exec(sentence) ?? []
    if (words <= maxWords && bannedWord === undefined) continue
    console.error(`${file}: ${bannedWord === undefined ? `${words} words` : `"${bannedWord.trim()}"`}: ${sentence}`)
    process.exitCode = 1
  }
}

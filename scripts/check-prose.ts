// Fails on sentences that are hard to read: longer than 35 words, or with a pronoun for a subject. Code and quotations are left out.
//
// tsx scripts/check-prose.ts

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

const maxWords = 35
/** Pronouns as subjects: some anywhere in a sentence, others only at its beginning, after the marks of a list or a heading. */
const banned = /\b(?:somebody|nobody|anybody|everybody|whoever|whatever|those that|it and what)\b|^(?:[-*#\d. ]*)(?:who may|who has|what is)\b/i

const files = ['.', '.github', 'docs', 'bench', 'examples', 'examples/single-binary']
  .flatMap((folder) => readdirSync(folder).map((name) => join(folder, name)))
  .filter((file) => file.endsWith('.md'))
const codeBlock = /^ *```.*?^ *```$/gms
const targetOfLink = /\]\([^)]*\)/g
const codeOrQuotation = /`[^`\n]+`|"[^"\n]*"|“[^”]*”/g
// A heading, an item of a list and a cell of a table end a sentence, as an empty line does.
const endOfSentence = /\n(?=\s*(?:[-*#|]|\d+\.) ?)|\n\s*\n|\||(?<=[.!?])\s+/

for (const file of files) {
  const prose = readFileSync(file, 'utf8').replaceAll(codeBlock, '').replaceAll(targetOfLink, ']').replaceAll(codeOrQuotation, 'x')
  for (const sentence of prose.split(endOfSentence).map((text) => text.replaceAll(/\s+/g, ' ').trim())) {
    const words = sentence.split(' ').filter((word) => /\p{L}|\d/u.test(word)).length
    const [bannedWord] = banned.exec(sentence) ?? []
    if (words <= maxWords && bannedWord === undefined) continue
    console.error(`${file}: ${bannedWord === undefined ? `${words} words` : `"${bannedWord.trim()}"`}: ${sentence}`)
    process.exitCode = 1
  }
}

// Fails on sentences that are hard to read: longer than 35 words, or with a pronoun for a subject. Code and quotations are left out.
//
// tsx scripts/check-prose.ts

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

const maxWords = 35
const banned = /\b(?:somebody|nobody|anybody|everybody|whoever|whatever|those that|it and what)\b|^(?:[-*#\d. ]*)(?:who may|who has|what is)\b/i

const files = ['.', '.github', 'docs', 'bench', 'examples', 'examples/single-binary']
  .flatMap((folder) => readdirSync(folder).map((name) => join(folder, name)))
  .filter((file) => file.endsWith('.md'))
let found = 0

for (const file of files) {
  const prose = readFileSync(file, 'utf8')
    .replaceAll(/^ *```.*?^ *```$/gms, '')
    .replaceAll(/\]\([^)]*\)/g, ']')
    .replaceAll(/`[^`\n]+`|"[^"\n]*"|“[^”]*”/g, 'x')
  // A heading, an item of a list and a cell of a table end a sentence, as an empty line does.
  const sentences = prose.split(/\n(?=\s*(?:[-*#|]|\d+\.) ?)|\n\s*\n|\||(?<=[.!?])\s+/)
  for (const sentence of sentences.map((sentence) => sentence.replaceAll(/\s+/g, ' ').trim())) {
    const words = sentence.split(' ').filter((word) => /\p{L}|\d/u.test(word)).length
    const [word] = banned.exec(sentence) ?? []
    if (words <= maxWords && word === undefined) continue
    found++
    console.error(`${file}: ${word === undefined ? `${words} words` : `"${word.trim()}"`}: ${sentence}`)
  }
}
if (found > 0) process.exitCode = 1

// node scripts/describe-types.js
//
// Runs after tsc. It writes the descriptions of the schemas into dist/rules/wire-schemas.d.ts as comments, so that an editor shows them on the
// fields of a Contact. TypeBox's Static keeps such comments.

import { readFileSync, writeFileSync } from 'node:fs'
import ts from 'typescript'
import * as schemas from '../dist/rules/wire-schemas.js'

const path = 'dist/rules/wire-schemas.d.ts'
const text = readFileSync(path, 'utf8')
const source = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true)
const comments = []

/** Adds a comment for each member of a type `{ … }`, which TypeScript has inferred from a schema with these properties. */
function describe(type, { properties }) {
  for (const member of type.members) {
    const property = properties[member.name.text]
    if (property.description === undefined) throw new Error(`${member.getText(source)} has no description`)
    comments.push({ at: member.getStart(source), comment: `/** ${property.description} */ ` })
    const { properties: inner } = property.items ?? property
    if (inner !== undefined) describe(findMembers(member.type), property.items ?? property)
  }
}

/** The `{ … }` in `TOptional<TObject<{ … }>>`. */
function findMembers(type) {
  return ts.isTypeLiteralNode(type) ? type : ts.forEachChild(type, findMembers)
}

for (const { declarationList } of source.statements.filter(ts.isVariableStatement)) {
  for (const { name, type } of declarationList.declarations) describe(findMembers(type), schemas[name.text])
}
// From the end to the beginning, so that the positions before stay right.
writeFileSync(path, comments
  .sort((one, other) => other.at - one.at)
  .reduce((text, { at, comment }) => text.slice(0, at) + comment + text.slice(at), text))

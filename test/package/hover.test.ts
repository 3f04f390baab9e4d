// The built types: what an editor shows as the documentation of public names and fields.

import { join } from 'node:path'
import { inspect } from 'node:util'
import t from 'tap'
import ts from 'typescript'
import { checkOptions } from '../../src/options.js'
import { openFile } from '../helpers/sqlite-files.js'

// Inside the repository, a file can import the package by its name.
const file = join(t.testdir({ 'consumer.ts': "import * as everything from 'fastify-omnichannel-contacts'\nvoid everything" }), 'consumer.ts')
const program = ts.createProgram([file], {
  target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.NodeNext, strict: true, noUncheckedIndexedAccess: true, types: [], noEmit: true
})
const checker = program.getTypeChecker()
const { moduleSpecifier } = program.getSourceFile(file)!.statements[0] as ts.ImportDeclaration
/** The symbol of each public name. Those that are exported again are resolved to their declaration. */
const publicSymbols = new Map(checker.getExportsOfModule(checker.getSymbolAtLocation(moduleSpecifier)!).map((symbol) =>
  [symbol.name, symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol]))

const documentationOf = (symbol: ts.Symbol | ts.Signature): string => ts.displayPartsToString(symbol.getDocumentationComment(checker))

/** All fields of a public type at every depth, by paths such as `Contact.conflictingFields[].field`. */
function fieldsOf (name: string): Map<string, ts.Symbol> {
  return new Map(collectFields(checker.getDeclaredTypeOfSymbol(publicSymbols.get(name)!), name))
}

function collectFields (type: ts.Type, path: string): Array<[path: string, field: ts.Symbol]> {
  const itemType = checker.isArrayType(type) ? checker.getTypeArguments(type as ts.TypeReference)[0] : undefined
  if (itemType !== undefined) return collectFields(itemType, `${path}[]`)
  if (type.isUnion()) return []
  return type.getProperties().filter(isOurs).flatMap((field) => {
    const fieldPath = `${path}.${field.name}`
    return [[fieldPath, field], ...collectFields(checker.getNonNullableType(checker.getTypeOfSymbol(field)), fieldPath)]
  })
}

/** Whether the package itself declares it, and not a dependency. */
function isOurs ({ declarations = [] }: ts.Symbol): boolean {
  return declarations.some((declaration) => /\/dist\/(options|rules\/wire-schemas)\.d\.ts$/.test(declaration.getSourceFile().fileName))
}

t.test('public names: each has documentation', async (t) => {
  for (const name of ['OmnichannelContactsOptions', 'default', 'DatabaseBusyError']) t.ok(publicSymbols.has(name), name)
  for (const [name, symbol] of publicSymbols) t.match(documentationOf(symbol), /\w/, name)
})

t.test('the constructor of an error: has the documentation of its class', async (t) => {
  const expected = { UnauthorizedError: /^401: /, UpdateRefusedError: /^400: .*beforeCommit/, ContactVersionMismatchError: /^412: / }
  for (const [name, documentation] of Object.entries(expected)) {
    const symbol = publicSymbols.get(name)!
    const [constructor] = checker.getTypeOfSymbol(symbol).getConstructSignatures()
    // An editor shows the documentation of the class only if the constructor has none, of its own or inherited.
    t.match(documentationOf(constructor!) || documentationOf(symbol), documentation, name)
  }
  const version = checker.getDeclaredTypeOfSymbol(publicSymbols.get('ContactVersionMismatchError')!).getProperty('version')
  t.match(documentationOf(version!), /version/)
})

t.test('fields of bodies, contacts, events and users: each has documentation', async (t) => {
  // One deep field of each type, to see that fieldsOf finds it.
  const deepFields = [
    'UpdateContactBody.contactId', 'UpdateContactReply.contact.channels[].visitor.source.id', 'ErrorReply.errorType',
    'Contact.conflictingFields[].field', 'ContactChannel.lastChat.ts', 'ContactUpdatedEvent.previous.emails[].address', 'User.id'
  ]
  for (const deepField of deepFields) {
    const fields = fieldsOf(deepField.split('.')[0]!)
    t.ok(fields.has(deepField), deepField)
    for (const [field, symbol] of fields) t.match(documentationOf(symbol), /\w/, field)
  }
})

t.test('options: each has documentation, and its real default', async (t) => {
  const settings: Record<string, unknown> = { ...checkOptions({ database: openFile(t, ':memory:') }) }
  const fields = fieldsOf('OmnichannelContactsOptions')
  t.ok(fields.size >= 10)
  for (const symbol of fields.values()) {
    const option = symbol.name
    t.match(documentationOf(symbol), /\w/, option)
    const tag = symbol.getJsDocTags(checker).find(({ name }) => name === 'default')
    const documented = tag && ts.displayPartsToString(tag.text)
    if (option === 'database') t.equal(documented, undefined, 'it is required')
    else if (settings[option] === undefined) t.match(documented, /^(none$|the \w)/, option)
    else t.equal(documented, inspect(settings[option]), option)
  }
})

// The documentation that an editor shows for public names and fields of the built types. TypeScript's language service returns it.

import { resolve } from 'node:path'
import { inspect } from 'node:util'
import t, { type Test } from 'tap'
import ts from 'typescript'
import { checkOptions } from '../../src/options.js'
import { openFile } from '../files.js'

const file = resolve('consumer.ts')
const packageName = 'fastify-omnichannel-contacts'
const compilerOptions: ts.CompilerOptions = {
  target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.NodeNext, strict: true, noUncheckedIndexedAccess: true, types: []
}

let text = ''
let version = 0
const read = (path: string): string | undefined => path === file ? text : ts.sys.readFile(path)
const service = ts.createLanguageService({
  ...ts.sys,
  useCaseSensitiveFileNames: () => ts.sys.useCaseSensitiveFileNames,
  getScriptFileNames: () => [file],
  getScriptVersion: (path) => path === file ? String(version) : '',
  getScriptSnapshot: (path) => {
    const content = read(path)
    return content === undefined ? undefined : ts.ScriptSnapshot.fromString(content)
  },
  fileExists: (path) => path === file || ts.sys.fileExists(path),
  readFile: read,
  getCurrentDirectory: () => process.cwd(),
  getCompilationSettings: () => compilerOptions,
  getDefaultLibFileName: ts.getDefaultLibFilePath
})

function write (content: string): { checker: ts.TypeChecker, source: ts.SourceFile } {
  text = content
  version++
  const program = service.getProgram()!
  return { checker: program.getTypeChecker(), source: program.getSourceFile(file)! }
}

interface Hover { documentation: string, tags: Record<string, string> }

/** Hovers over the last word of each line, or over the called function. */
function hover (t: Test, lines: string[], head: string): Hover[] {
  write([head, ...lines].join('\n'))
  t.strictSame(service.getSemanticDiagnostics(file).map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, '\n')), [], 'the lines compile')
  let end = head.length
  return lines.map((line) => {
    end += 1 + line.length
    const info = service.getQuickInfoAtPosition(file, end - line.length + /\w+(?=(\(.*\))?$)/.exec(line)!.index)
    const tags = (info?.tags ?? []).map(({ name, text }) => [name, ts.displayPartsToString(text)] as const)
    return { documentation: ts.displayPartsToString(info?.documentation), tags: Object.fromEntries(tags) }
  })
}

/** The public names, as types and values. */
function publicNames (): { types: string[], values: string[] } {
  const { checker, source } = write(`import * as everything from '${packageName}'\nvoid everything`)
  const { moduleSpecifier } = source.statements[0] as ts.ImportDeclaration
  const symbols = checker.getExportsOfModule(checker.getSymbolAtLocation(moduleSpecifier)!)
  const isValue = (symbol: ts.Symbol): boolean =>
    ((symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol).flags & ts.SymbolFlags.Value) !== 0
  return {
    types: symbols.filter((symbol) => !isValue(symbol)).map(({ name }) => name),
    values: symbols.filter(isValue).map(({ name }) => name)
  }
}

/** Expressions for all fields of a public type, at every depth. */
function fieldsOf (type: string): string[] {
  const { checker, source } = write(`import type { ${type} } from '${packageName}'\ndeclare const value: ${type}`)
  const { declarationList } = source.statements[1] as ts.VariableStatement
  const visit = (type: ts.Type, path: string): string[] => {
    const item = checker.isArrayType(type) ? checker.getTypeArguments(type as ts.TypeReference)[0] : undefined
    if (item !== undefined) return visit(item, `${path}[0]!`)
    return (type.isUnion() ? [] : type.getProperties()).filter(isOurs).flatMap((property) => {
      const field = `${path}.${property.name}`
      return [field, ...visit(checker.getNonNullableType(checker.getTypeOfSymbol(property)), `${field}!`)]
    })
  }
  return visit(checker.getTypeAtLocation(declarationList.declarations[0]!), 'value')
}

function isOurs ({ declarations = [] }: ts.Symbol): boolean {
  return declarations.some((declaration) => /\/dist\/(options|rules\/wire-schemas)\.d\.ts$/.test(declaration.getSourceFile().fileName))
}

function hoverFields (t: Test, type: string): Array<[field: string, hover: Hover]> {
  const fields = fieldsOf(type)
  const hovers = hover(t, fields, `import type { ${type} } from '${packageName}'\ndeclare const value: ${type}`)
  return fields.map((field, index) => [field, hovers[index]!])
}

t.test('public names: each has documentation', async (t) => {
  const { types, values } = publicNames()
  t.ok(types.includes('OmnichannelContactsOptions') && values.includes('default') && values.includes('DatabaseBusyError'))
  const named = values.filter((name) => name !== 'default')
  const head = `import omnichannelContacts, { ${named.join(', ')} } from '${packageName}'\nimport type { ${types.join(', ')} } from '${packageName}'`
  const lines = ['void omnichannelContacts', ...named.map((name) => `void ${name}`), ...types.map((name) => `void 0 as unknown as ${name}`)]
  for (const [index, { documentation }] of hover(t, lines, head).entries()) t.match(documentation, /\w/, lines[index]!)
})

t.test('the constructor of an error: has the documentation of its class', async (t) => {
  const lines = ['void new UnauthorizedError()', "void new UpdateRefusedError('')", 'void new ContactVersionMismatchError(1)', 'void mismatch.version']
  const head = `import { ContactVersionMismatchError, UnauthorizedError, UpdateRefusedError } from '${packageName}'\ndeclare const mismatch: ContactVersionMismatchError`
  const hovers = hover(t, lines, head)
  t.match(hovers.map(({ documentation }) => documentation), [/^401: /, /^400: .*beforeCommit/, /^412: /, /version/])
})

t.test('fields of bodies, contacts, events and users: each has documentation', async (t) => {
  const wanted = {
    UpdateContactBody: 'value.contactId',
    UpdateContactReply: 'value.contact!.channels![0]!.visitor!.source!.id',
    ErrorReply: 'value.errorType',
    Contact: 'value.conflictingFields![0]!.field',
    ContactChannel: 'value.lastChat!.ts',
    ContactUpdatedEvent: 'value.previous!.emails![0]!.address',
    User: 'value.id'
  }
  for (const [type, example] of Object.entries(wanted)) {
    const hovers = hoverFields(t, type)
    t.ok(hovers.some(([field]) => field === example), `${type}: ${example} is among its fields`)
    for (const [field, { documentation }] of hovers) t.match(documentation, /\w/, `${type}: ${field}`)
  }
})

t.test('options: each has documentation, and its real default', async (t) => {
  const database = openFile(t, ':memory:')
  const settings: Record<string, unknown> = { ...checkOptions({ database }) }
  const hovers = hoverFields(t, 'OmnichannelContactsOptions')
  t.ok(hovers.length >= 10)
  for (const [field, { documentation, tags }] of hovers) {
    const option = field.replace('value.', '')
    t.match(documentation, /\w/, option)
    if (option === 'database') t.notOk(tags.default, 'it is required')
    else if (settings[option] === undefined) t.match(tags.default, /^(none$|the \w)/, option)
    else t.equal(tags.default, inspect(settings[option]), option)
  }
})

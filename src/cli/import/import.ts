import { Option, type Command } from 'commander'
import { collect, wholeNumber, type Io } from '../command.js'
import { createOption, fileOption } from '../database.js'
import { sources } from './collection.js'
import type { ImportOptions } from './run-import.js'

export function importExport (parent: Command, io: Io): void {
  const command = parent.command('import')
    .summary('Import a Rocket.Chat export, the JSON lines that mongoexport writes')
    .description(description)
    .addOption(fileOption())
    .addOption(createOption())
  const files = Object.entries(sources).map(([name, source]) =>
    ({ name, option: new Option(`--${name} <FILE>`, `the collection ${source}`).argParser(collect) }))
  for (const { option } of files) command.addOption(option)
  command
    .option('--folder <DIR>', 'all of these that it holds, as users.json or users.jsonl; what it lacks is named')
    .addOption(new Option('--on-error <ACTION>', 'what to do about a bad line; a skipped one is reported with its number')
      .choices(['skip', 'fail']).default('fail'))
    .option('--batch <LINES>', 'commit every so many lines, and let a running server write in between', wholeNumber(1))
    .option('--disable-missing', 'disable the contacts that the contacts of this import lack')
    .option('--dry-run', 'do it all, and write nothing')
    .action(async (options: ImportOptions) => {
      const { runImport } = await import('./run-import.js')
      const named = new Map(files.map(({ name, option }) => [name, command.getOptionValue(option.attributeName()) as string[] | undefined]))
      await runImport(options, named, io)
    })
}

const names = Object.values(sources)
const description = `Import a Rocket.Chat export, the JSON lines that mongoexport writes.

One file for each collection, - for stdin, or all of them by Rocket.Chat's names from a --folder:

  for c in ${names.slice(0, 4).join(' ')} \\
    ${names.slice(4).join(' ')}
    do mongoexport --db rocketchat --collection $c --out export/$c.json; done
  fastify-omnichannel-contacts import --folder export

What is there already is replaced, so an import can be repeated. Each file is imported as a whole or not at all, unless \
--batch says otherwise. Ctrl-C says what became of the file that was being imported; the exit code is 130. A file of \
another collection is refused.

What is gone from the export stays here. A user stays, with all tokens, until user deactivate or user remove. A contact \
stays enabled, also one that Rocket.Chat has merged into another, unless --disable-missing is given: it disables every \
enabled contact that the contacts of this import lack, also one that no import has brought. It disables none when a line \
of them was skipped, or when there is no contact among them.

Users bring their personal access tokens. One that is gone from a user's next export is removed if an import brought it, \
and kept if it was made here; one that was revoked here and is still in the export comes back. (Which tokens were imported \
is noted in a table of the command line's own, omnichannel_imported_token.)

A custom field whose pattern can never fit a value is imported and named.`

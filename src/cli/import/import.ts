import { Option, type Command } from '@commander-js/extra-typings'
import { createOption, fileOption } from '../database.js'
import { wholeNumber, type Io } from '../shared.js'
import { collections, type CollectionName } from './collections.js'
import type { ImportOptions } from './import-file.js'
import type { NamedFiles } from './run-import.js'

const collectionNames = Object.values(collections)
const description = `Import a Rocket.Chat export, the JSON lines that mongoexport writes.

Give one file for each collection, - for stdin, or a --folder that holds them by Rocket.Chat's names:

  for c in ${collectionNames.slice(0, 2).join(' ')} \\
    ${collectionNames.slice(2, 5).join(' ')} \\
    ${collectionNames.slice(5).join(' ')}
    do mongoexport --db rocketchat --collection $c --out export/$c.json; done
  fastify-omnichannel-contacts import --folder export

Rows that exist are replaced, so an import can be repeated. Each file is imported as a whole or not at all, unless --batch is given. \
After Ctrl-C the command says what was imported of the current file, and exits with 130. A file of another collection is refused.

Users and contacts that are missing from the export stay. Remove a user with user deactivate or user remove. With --disable-missing \
an enabled contact is disabled if it is not among the contacts of this import, for example because Rocket.Chat has merged it into \
another. This also concerns contacts that were made here. No contact is disabled if a line was skipped, or if there are no contacts.

Personal access tokens are imported with their users. If a token is missing from a user's next export, it is removed if it was \
imported, and kept if it was made here. A token that was revoked here and is still in the export comes back. (The table \
omnichannel_imported_token records which tokens were imported.)

A custom field whose pattern can never match a value is imported, with a warning.`

export function importFiles (program: Command, io: Io): void {
  const command = program.command('import')
    .summary('Import a Rocket.Chat export, the JSON lines that mongoexport writes')
    .description(description)
    .addOption(fileOption())
    .addOption(createOption())
  const named: NamedFiles = {}
  for (const name of Object.keys(collections) as CollectionName[]) {
    command.option(`--${name} <FILE>`, `the collection ${collections[name]}`, (file) => { named[name] = [...named[name] ?? [], file] })
  }
  command
    .option('--folder <DIR>', 'a folder with files of these names, such as users.json or users.jsonl; missing files are reported')
    .addOption(new Option('--on-error <ACTION>', 'what to do about a bad line; a skipped one is reported with its number')
      .choices(['skip', 'fail']).default('fail'))
    .option('--batch <LINES>', 'commit after so many lines, and let a running server write in between', wholeNumber(1))
    .option('--disable-missing', 'disable contacts that are not among the contacts of this import')
    .option('--dry-run', 'report what the import would do, and write nothing; a running server cannot write meanwhile')
    .action(async (options: ImportOptions) => {
      const { runImport } = await import('./run-import.js')
      await runImport(options, named, io)
    })
}

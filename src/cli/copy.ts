import type { Command } from 'commander'
import type { Pool } from 'pg'
import { withInterruption, type Io } from './command.js'
import { InterruptedError } from './errors.js'
import { openDatabase, readFileName } from './database.js'
import { readServer, withServer } from './postgres.js'
import { print } from './output.js'

export function copy (parent: Command, io: Io): void {
  parent.command('copy')
    .summary('Move a database file to a PostgreSQL server')
    .description('Copy all that is in a database file to a PostgreSQL server.\n\n' +
      'All of it or nothing: it is one transaction, and in it both sides are compared at the end. A server that holds the same ' +
      'already is left as it is; one that holds other data is refused. What is written to the file meanwhile is not copied, so ' +
      'stop its server first.')
    .argument('<FILE>', 'the database file', readFileName)
    .argument('<SERVER>', 'as postgres://user@host/name', readServer)
    .action(async (file: string, server: string) => {
      const source = await openDatabase(file, io, 'read')
      try {
        await withInterruption(io, (signal) => withServer(server, 'create', async (_db, { name, handle }) => {
          const { copyTables } = await import('./copy-tables.js')
          const { rows, seconds, isNew } = await copyTables(source, handle as Pool, { name, io, signal })
          print(io, isNew
            ? `Copied ${file} to ${name}: ${rows} rows in ${seconds.toFixed(1)} s, compared row by row\n`
            : `${name} holds the ${rows} rows of ${file} already, compared row by row\n`)
        }).catch((error: unknown) => {
          if (!signal.aborted) throw error
          throw new InterruptedError('Stopped: nothing was copied', signal.reason as NodeJS.Signals)
        }))
      } finally {
        source.close()
      }
    })
}

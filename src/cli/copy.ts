import type { Command } from 'commander'
import type { Pool } from 'pg'
import { withInterruption, type Io } from './command.js'
import { openDatabase, readFileName } from './database.js'
import { InterruptedError } from './errors.js'
import { print } from './output.js'
import { readServer, withServer } from './postgres.js'

export function copy (parent: Command, io: Io): void {
  parent.command('copy')
    .summary('Move a database file to a PostgreSQL server')
    .description('Copy everything in a database file to a PostgreSQL server.\n\n' +
      'It is one transaction: all is copied or nothing. At the end both sides are compared. A server that already holds the same ' +
      'is left as it is; one that holds other data is refused. What is written to the file meanwhile is not copied, so ' +
      'stop its server first.')
    .argument('<FILE>', 'the database file', readFileName)
    .argument('<SERVER>', 'as postgres://user@host/name', readServer)
    .action(async (file: string, server: string) => {
      const source = await openDatabase(file, io, 'read')
      try {
        await withInterruption(io, (signal) => withServer(server, 'create', async ({ name, handle }) => {
          const { copyTables } = await import('./copy-tables.js')
          const start = performance.now()
          const { rows, isNew } = await copyTables(source, handle as Pool, { name, io, signal })
          print(io, isNew
            ? `Copied ${file} to ${name}: ${rows} rows in ${((performance.now() - start) / 1000).toFixed(1)} s, compared row by row\n`
            : `${name} holds the ${rows} rows of ${file} already, compared row by row\n`)
        }).catch((error: unknown) => {
          throw signal.aborted ? new InterruptedError('Stopped: nothing was copied', signal) : error
        }))
      } finally {
        source.close()
      }
    })
}

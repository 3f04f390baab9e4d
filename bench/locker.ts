// Another process of the host's, with a long write.

import Database from 'better-sqlite3'

const [file, milliseconds] = process.argv.slice(2) as [string, string]
const database = new Database(file)
database.exec('BEGIN IMMEDIATE')
process.send?.({ answer: 'locked' })
setTimeout(() => {
  database.exec('COMMIT')
  database.close()
  process.disconnect()
}, Number(milliseconds))

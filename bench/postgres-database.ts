import pg from 'pg'
import { roomsPerContact } from './requests.js'
import { createTables, insertRowsSql } from './initial-rows.js'

let copies = 0

/** Creates a database with this number of contacts, as a copy of a database that is filled once. Returns its name. */
export async function createDatabase (host: string, contacts: number): Promise<string> {
  const template = `contacts_${contacts}`
  const name = `copy_${copies++}`
  const [existing] = await query(host, 'postgres', `SELECT 1 FROM pg_database WHERE datname = '${template}'`)
  if (existing === undefined) {
    await query(host, 'postgres', `CREATE DATABASE ${template}`)
    const pool = new pg.Pool({ host, database: template, user: 'postgres' })
    await createTables(pool).finally(async () => await pool.end())
    await query(host, template, `
      CREATE TEMP VIEW items AS SELECT generate_series(0, ${roomsPerContact - 1}) AS item;
      CREATE TEMP TABLE numbers AS SELECT n, lpad(n::text, 7, '0') AS digits FROM generate_series(0, ${contacts - 1}) AS n;
      ${insertRowsSql}`)
    await query(host, template, 'VACUUM ANALYZE')
  }
  await query(host, 'postgres', `CREATE DATABASE ${name} TEMPLATE ${template}`)
  return name
}

export async function query (host: string, database: string, text: string): Promise<unknown[]> {
  const client = new pg.Client({ host, database, user: 'postgres' })
  await client.connect()
  try {
    return (await client.query(text)).rows
  } finally {
    await client.end()
  }
}

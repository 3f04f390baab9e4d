// Writes openapi.json from the running plugin. A test compares the two.
import swagger from '@fastify/swagger'
import Database from 'better-sqlite3'
import fastify from 'fastify'
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { swaggerOptions } from '../src/cli/serve/documentation.js'
import omnichannelContacts from '../src/index.js'

type Package = Record<'name' | 'version' | 'description' | 'license', string>

/** The text of `openapi.json`. */
export async function openapiJson (): Promise<string> {
  const { name, version, description, license } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as Package
  const database = new Database(':memory:')
  const app = fastify()
  try {
    await app.register(swagger, swaggerOptions({
      info: { title: name, version, description, license: { name: license, identifier: license } as { name: string } },
      servers: [{ url: 'http://127.0.0.1:3000', description: 'Where `fastify-omnichannel-contacts serve` listens, if not told otherwise' }]
    }))
    await app.register(omnichannelContacts, { database })
    await app.ready()
    return JSON.stringify(app.swagger(), null, 2) + '\n'
  } finally {
    await app.close()
    database.close()
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  writeFileSync(new URL('../openapi.json', import.meta.url), await openapiJson())
}

// The built package, as it is published: the plugin under test, and the pure functions that the others share with it.

import { pathToFileURL } from 'node:url'

export interface Dist {
  index: typeof import('../../src/index.js')
  body: typeof import('../../src/body.js')
  contact: typeof import('../../src/contact.js')
  customFields: typeof import('../../src/custom-fields.js')
  database: typeof import('../../src/database.js')
  identity: typeof import('../../src/identity.js')
  patternCache: typeof import('../../src/pattern-cache.js')
  replies: typeof import('../../src/replies.js')
  route: typeof import('../../src/route.js')
}

export async function loadDist (folder: string): Promise<Dist> {
  const load = async (name: string): Promise<unknown> => await import(`${pathToFileURL(folder).href}/${name}.js`)
  return {
    index: await load('index'),
    body: await load('body'),
    contact: await load('contact'),
    customFields: await load('custom-fields'),
    database: await load('database'),
    identity: await load('identity'),
    patternCache: await load('pattern-cache'),
    replies: await load('replies'),
    route: await load('route')
  } as Dist
}

// The built package, as it is published: the plugin under test, and the pure functions that the others share with it.

import { pathToFileURL } from 'node:url'

export interface Dist {
  index: typeof import('../../src/index.js')
  body: typeof import('../../src/http/body.js')
  contact: typeof import('../../src/rules/contact.js')
  customFields: typeof import('../../src/rules/custom-fields.js')
  store: typeof import('../../src/store/sqlite/store.js')
  auth: typeof import('../../src/http/auth.js')
  patterns: typeof import('../../src/rules/patterns/index.js')
  replies: typeof import('../../src/http/replies.js')
  route: typeof import('../../src/http/route.js')
  unitOfWork: typeof import('../../src/rules/prepare-update.js')
}

export async function loadDist (folder: string): Promise<Dist> {
  const load = async (name: string): Promise<unknown> => await import(`${pathToFileURL(folder).href}/${name}.js`)
  return {
    index: await load('index'),
    body: await load('http/body'),
    contact: await load('rules/contact'),
    customFields: await load('rules/custom-fields'),
    store: await load('store/sqlite/store'),
    auth: await load('http/auth'),
    patterns: await load('rules/patterns/index'),
    replies: await load('http/replies'),
    route: await load('http/route'),
    unitOfWork: await load('rules/prepare-update')
  } as Dist
}

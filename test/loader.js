// Loads TypeScript for tap, with tsx. What tap measures needs three corrections:
// - c8 needs the source in the source map, or code that never ran counts as covered. tsx adds it while NODE_V8_COVERAGE is set.
// - esbuild adds a static block to each class. c8 counts everything above the class as a part of that block, so the block is left out.
// - tsx adds a function to each import(), with branches that no test takes. It is blanked.

import { Session } from 'node:inspector'
import module from 'node:module'
import { isMainThread } from 'node:worker_threads'

const addedToImport = /\.then\((\w+)=>\{const \w+="default";return [^{}]*\}\)/g

function blank(result) {
  return typeof result.source === 'string'
    ? { ...result, source: result.source.replace(addedToImport, (text) => ' '.repeat(text.length)) }
    : result
}

/** A hook of Node.js before 26. */
export async function load(url, context, nextLoad) {
  return blank(await nextLoad(url, context))
}

// Before Node.js 26 a loader may run in a thread, which has an environment of its own: this file sets it there too. A thread that
// started with the variable would write a file.
const inThread = parseInt(process.versions.node) < 26
if (isMainThread && inThread) module.register(import.meta.url)
process.env.NODE_V8_COVERAGE = 'set'
if (isMainThread) {
  await import('tsx')
  // The hook that comes last sees what the others have made.
  if (inThread) module.register(`${import.meta.url}?last`)
  else module.registerHooks({ load: (url, context, nextLoad) => blank(nextLoad(url, context)) })
  delete process.env.NODE_V8_COVERAGE

  const { post } = Session.prototype
  Session.prototype.post = function (method, callback) {
    if (method !== 'Profiler.takePreciseCoverage') return post.call(this, method, callback)
    return post.call(this, method, (error, coverage) => {
      for (const script of coverage?.result ?? []) {
        script.functions = script.functions.filter(({ functionName }) => functionName !== '<static_initializer>')
      }
      callback(error, coverage)
    })
  }
}

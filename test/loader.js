// Loads TypeScript for tap, with tsx. What tap measures needs two corrections, or code that never ran counts as covered:
// - c8 needs the source in the source map. tsx adds it while NODE_V8_COVERAGE is set.
// - esbuild adds a static block to each class. c8 takes it for all that is above the class, so it is left out.

import { Session } from 'node:inspector'
import module from 'node:module'
import { isMainThread } from 'node:worker_threads'

process.env.NODE_V8_COVERAGE = 'set'
if (isMainThread) {
  // Before Node.js 26 a loader may run in a thread, which has an environment of its own: this file sets it there too.
  if (parseInt(process.versions.node) < 26) module.register(import.meta.url)
  await import('tsx')
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

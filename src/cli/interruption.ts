import type { Io } from './command.js'

/** Runs `work` with an AbortSignal that a signal of the system, such as Ctrl-C, aborts; its reason is the name of that. */
export async function withInterruption<Result> (io: Io, work: (signal: AbortSignal) => Promise<Result>): Promise<Result> {
  const controller = new AbortController()
  const listeners = (['SIGINT', 'SIGTERM'] as const).map((name) => ({ name, stop: () => { controller.abort(name) } }))
  for (const { name, stop } of listeners) io.on(name, stop)
  try {
    return await work(controller.signal)
  } finally {
    for (const { name, stop } of listeners) io.off(name, stop)
  }
}

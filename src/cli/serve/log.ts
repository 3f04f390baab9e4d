import type { Io } from '../command.js'

const maxWaiting = 1_048_576 // bytes

/** Where the log goes. What its reader does not take in time is dropped, and counted. */
export function openLog (stream: Io['stderr']): { write: (line: string) => void } {
  let dropped = 0
  return {
    write (line) {
      if (stream.writableLength > maxWaiting) {
        dropped++
        return
      }
      if (dropped > 0) stream.write(`{"level":40,"time":${Date.now()},"msg":"${dropped} lines of the log were dropped: nobody read them in time"}\n`)
      dropped = 0
      stream.write(line)
    }
  }
}

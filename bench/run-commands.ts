/** Sends the port to the parent process, then runs its commands and sends their results. After `stop` this process ends. */
export function runCommands (port: number, commands: Record<string, (...values: never[]) => unknown>): void {
  process.on('message', async ([command, ...values]: [string, ...never[]]) => {
    process.send!(await commands[command]!(...values) ?? null, () => { if (command === 'stop') process.disconnect() })
  })
  // No server outlives the benchmark.
  process.on('disconnect', () => process.exit())
  process.send!(port)
}

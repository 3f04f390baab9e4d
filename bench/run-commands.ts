/** Sends the port to the parent process, then runs its commands and sends their results. After `stop` this process ends. */
export function runCommands (port: number, commands: Record<string, (...values: never[]) => unknown>): void {
  process.on('message', async ([command, ...values]: [string, ...never[]]) => {
    // A message cannot be undefined.
    const result = await commands[command]!(...values) ?? null
    process.send!(result, () => { if (command === 'stop') process.disconnect() })
  })
  // Also if the parent process has ended.
  process.on('disconnect', () => process.exit())
  process.send!(port)
}

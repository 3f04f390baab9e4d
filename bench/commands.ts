/** Answers the questions of the parent process, first with the port. After `stop` this process ends. */
export function answerQuestions (port: number, answers: Record<string, (...values: never[]) => unknown>): void {
  process.on('message', async ([question, ...values]: [string, ...never[]]) => {
    process.send!(await answers[question]!(...values) ?? null, () => { if (question === 'stop') process.disconnect() })
  })
  // No server outlives the benchmark.
  process.on('disconnect', () => process.exit())
  process.send!(port)
}

/** Tells the parent the port of this process, and then whatever it asks; whoever is asked to stop ends. */
export function answerQuestions<Question extends string> (answers: Record<Question | 'stop', () => unknown>, port: number): void {
  process.on('message', async (question: Question | 'stop') => {
    process.send?.({ answer: await answers[question]() }, () => { if (question === 'stop') process.disconnect() })
  })
  // However the benchmark ends, no server outlives it.
  process.on('disconnect', () => process.exit())
  process.send?.({ answer: port })
}

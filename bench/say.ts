const start = performance.now()

/** Tells whoever waits for the benchmark what it is at. */
export function say (what: string): void {
  process.stderr.write(`${((performance.now() - start) / 1000).toFixed(0).padStart(5)} s  ${what}\n`)
}

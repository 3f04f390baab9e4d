/** Whether a list need not be written. */
export function isSame (a: string[], b: string[]): boolean {
  return a.length === b.length && a.every((item, index) => item === b[index])
}

export type Pattern = (text: string) => boolean
export function compilePattern (source: string): Pattern { const r = new RegExp(source); return (t) => r.test(t) }

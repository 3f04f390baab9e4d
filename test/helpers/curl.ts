/**
 * Sends what a printed curl command would send, for machines without curl. It knows the flags -X, -H, -d, -b and -c.
 *
 * @param cookieFiles what curl has written into files with -c and reads from them with -b, by their name
 */
export async function sendCurl (command: string, cookieFiles = new Map<string, string>()): Promise<Response> {
  // A word is quoted, or has no blanks.
  const words = [...command.matchAll(/'([^']*)'|[^\s']+/g)].map(([word, quoted]) => quoted ?? word)
  const valuesOf = (flag: string): string[] => words.flatMap((word, index) => word === flag ? [words[index + 1]!] : [])
  const headers = new Headers()
  for (const header of valuesOf('-H')) headers.append(...header.split(': ') as [name: string, value: string])
  for (const file of valuesOf('-b')) headers.append('cookie', cookieFiles.get(file)!)
  const [body] = valuesOf('-d')
  const [method = body === undefined ? 'GET' : 'POST'] = valuesOf('-X')
  const reply = await fetch(urlOf(command), { method, headers, ...body !== undefined && { body } })
  const cookies = reply.headers.getSetCookie().map((cookie) => cookie.split(';')[0]).join('; ')
  for (const file of valuesOf('-c')) cookieFiles.set(file, cookies)
  return reply
}

export function urlOf (command: string): string {
  return /(?<=[\s'])http:\/\/[^\s']+/.exec(command)![0]
}

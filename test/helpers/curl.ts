/** Sends what a printed curl command would send, for machines without curl. The jar holds the contents of its cookie files. */
export async function sendCurl (curl: string, jar = new Map<string, string>()): Promise<Response> {
  const words = [...curl.matchAll(/'([^']*)'|[^\s']+/g)].map(([word, quoted]) => quoted ?? word)
  const after = (flag: string): string[] => words.flatMap((word, index) => word === flag ? [words[index + 1]!] : [])
  const [body] = after('-d')
  const reply = await fetch(urlOf(curl), {
    method: after('-X')[0] ?? (body === undefined ? 'GET' : 'POST'),
    headers: [...after('-H').map((header) => header.split(': ')), ...after('-b').map((file) => ['cookie', jar.get(file)!])] as Array<[string, string]>,
    ...body !== undefined && { body }
  })
  for (const file of after('-c')) jar.set(file, reply.headers.getSetCookie().map((cookie) => cookie.split(';')[0]).join('; '))
  return reply
}

export function urlOf (curl: string): string {
  return /(?<=[\s'])http:\/\/[^\s']+/.exec(curl)![0]
}

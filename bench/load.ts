// Sends the load of a run, and checks the answers.

import autocannon from 'autocannon'
import { caller, createRequestMaker } from './requests.js'

export interface Load {
  /** The ports of the servers. The connections are shared out among them. */
  ports: number[]
  contacts: number
  connections: number
  requests: number
  /** The number of the first request: how many requests the target has got in earlier loads. */
  firstRequest: number
}

export interface LoadResult {
  requests: number
  perSecond: number
  /** Milliseconds from a request to its whole answer. */
  latency: { median: number, p99: number }
  /** The processor time of this process, which sends the load, as a share of one core. */
  generatorCpu: number
}

/** Sends requests and checks every answer. Each connection sends the next request when the answer to the last one is complete. */
export async function runLoad ({ ports, contacts, connections, requests, firstRequest }: Load): Promise<LoadResult> {
  const makeRequest = createRequestMaker(contacts)
  const latencies: number[] = []
  let nextRequest = firstRequest
  let lastAnswerAt = 0
  let failure: Error | undefined
  const cpu = process.cpuUsage()
  const start = performance.now()

  const { errors } = await new Promise<autocannon.Result>((resolve, reject) => {
    const instance = autocannon({
      // autocannon also takes a list, which its types lack.
      url: ports.map((port) => `http://127.0.0.1:${port}/api/v1/omnichannel/contacts.update`) as unknown as string,
      connections,
      amount: requests,
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-user-id': caller.id, 'x-auth-token': caller.token },
      // End at the first error, and check every 20 ms whether all requests were answered.
      bailout: 1,
      sampleInt: 20,
      requests: [{
        setupRequest: (request, context: { expected?: string }) => {
          const { body, expected } = makeRequest(nextRequest++)
          context.expected = expected
          return { ...request, body }
        },
        onResponse: (status, body, context: { expected?: string }) => {
          if (status === 200 && body.includes(context.expected!)) return
          failure ??= new Error(`expected ${context.expected}, got ${status} ${body}`)
          instance.stop()
        }
      }]
    }, (error: Error | null, result) => error === null ? resolve(result) : reject(error))
    instance.on('response', (_client, _status, _bytes, latency) => {
      latencies.push(latency)
      lastAnswerAt = performance.now()
    })
  })

  if (failure !== undefined) throw failure
  if (errors > 0 || latencies.length !== requests) throw new Error(`${errors} errors, and ${latencies.length} of ${requests} answers`)
  const { user, system } = process.cpuUsage(cpu)
  latencies.sort((a, b) => a - b)
  return {
    requests,
    perSecond: requests / (lastAnswerAt - start) * 1000,
    latency: { median: latencies[Math.floor(requests * 0.5)]!, p99: latencies[Math.floor(requests * 0.99)]! },
    generatorCpu: (user + system) / 1000 / (performance.now() - start)
  }
}

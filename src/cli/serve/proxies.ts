import { InvalidArgumentError } from 'commander'
import { isIP } from 'node:net'

// Not how many proxies there are: whoever reaches the server past them could then name any address.

/** Reads the addresses whose X-Forwarded-For is believed, as Fastify's trustProxy takes them. */
export function readProxies (text: string): string[] {
  const proxies = text.split(',').map((proxy) => proxy.trim())
  if (!proxies.every(isProxy)) throw new InvalidArgumentError('It must be addresses, as in 10.0.0.1,10.1.0.0/16, or loopback or uniquelocal')
  return proxies
}

function isProxy (proxy: string): boolean {
  const [address = '', bits = '0', ...more] = proxy.split('/')
  const version = isIP(address)
  const isAddress = version !== 0 && more.length === 0 && /^\d{1,3}$/.test(bits) && Number(bits) <= (version === 4 ? 32 : 128)
  return isAddress || ['loopback', 'linklocal', 'uniquelocal'].includes(proxy)
}

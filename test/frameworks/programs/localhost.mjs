// The addresses of localhost differ between machines. With this module there are always the usual two.
import dns from 'node:dns'

const both = [
  { address: '127.0.0.1', family: 4 },
  { address: '::1', family: 6 },
]
const { lookup } = dns
dns.lookup = (host, ...rest) => {
  const [options, done] = rest.length === 1 ? [{}, rest[0]] : rest
  if (host !== 'localhost') return lookup(host, options, done)
  process.nextTick(() => (options.all ? done(null, both) : done(null, '127.0.0.1', 4)))
}

import { ANYHOW } from '../tier/websocket-transport.js'

// Why an attempt to connect came to nothing: Node tells, browsers do not.

/** What an operating system, OpenSSL and `ws` say, and what to do about it. The first that fits is it. */
const advice: [pattern: RegExp, text: string][] = [
  [/ECONNREFUSED/, 'Nothing listens there: is the node running, and is the port right?'],
  [/ENOTFOUND|EAI_AGAIN/, 'There is no such host: is its name right?'],
  [
    /CERT|SELF_SIGNED|UNABLE_TO_(?:GET|VERIFY)/,
    'Its certificate is not trusted here: it needs a valid one, or NODE_EXTRA_CA_CERTS must name its authority.',
  ],
  [/EPROTO|ERR_SSL/, 'No TLS is spoken there: should the URL begin with http://?'],
  [/response: (?:404|200)/, 'Something else answers there: are host, port and path those of a node?'],
  [
    /response: 403/,
    'It does not let this one in: look at the allowed origins, and at the proxy before the node.',
  ],
  [/response: 30\d/, 'It sends elsewhere: give the URL that it leads to.'],
  [/response: 50\d/, 'The node, or the proxy before it, is not ready.'],
  [
    /response: 400|ECONNRESET|hang up/,
    'Is it a node? If TLS is spoken there, the URL must begin with https://.',
  ],
  [
    /ETIMEDOUT|E(?:HOST|NET)UNREACH/,
    'No way leads there: is the host right, and does a firewall let this through?',
  ],
]

/**
 * Why a WebSocket could not be opened, and what to do, in Node; '' for an error that says nothing. `error`: what the
 * WebSocket's `error` event brought.
 */
export function whyNotOpened(error: unknown): string {
  const said = saidBy(error)
  if (said === '') return ''
  const [, known = ANYHOW] = advice.find(([pattern]) => pattern.test(said)) ?? []
  return `${said.replace(/\.$/, '')}. ${known}`
}

/** Code and message; of several addresses that were tried, those of the first. OpenSSL's own are very long. */
function saidBy(error: unknown): string {
  if (!(error instanceof Error)) return ''
  if (error instanceof AggregateError && error.errors.length > 0) return saidBy(error.errors[0])
  const field = (name: string): string => {
    const value: unknown = Reflect.get(error, name)
    return typeof value === 'string' ? value : ''
  }
  const [code, full] = [field('code'), field('reason') || error.message]
  const [, , message = full] = /error:[\dA-F]+:([^:]*):[^:]*:([^:\n]+)/.exec(full) ?? []
  return code === '' || message.includes(code) ? message : `${message} (${code})`
}

import { ANYHOW } from '../tier/websocket-transport.js'

// Why an attempt to connect failed. Node reports the reason, browsers do not.

/** Texts of the operating system, OpenSSL and `ws`, with advice. The first pattern that matches counts. */
const advice: [pattern: RegExp, text: string][] = [
  [/ECONNREFUSED/, 'Nothing listens there. Is the node running, and is the port right?'],
  [/ENOTFOUND|EAI_AGAIN/, 'There is no such host. Is its name right?'],
  [
    /CERT|SELF_SIGNED|UNABLE_TO_(?:GET|VERIFY)/,
    'Its certificate is not trusted here. It needs a valid one, or NODE_EXTRA_CA_CERTS must name its authority.',
  ],
  [/EPROTO|ERR_SSL/, 'The server there does not use TLS. Should the URL begin with http://?'],
  [
    /response: (?:404|200)/,
    'Something other than a node answers there. Are host, port and path those of a node?',
  ],
  [
    /response: 403/,
    'The connection was refused. Check the allowed origins of the node, and the proxy in front of it.',
  ],
  [/response: 30\d/, 'It redirects to another URL. Use that URL.'],
  [/response: 50\d/, 'The node, or the proxy in front of it, is not ready.'],
  [/response: 400|ECONNRESET|hang up/, 'Is it a node? If it uses TLS, the URL must begin with https://.'],
  [
    /ETIMEDOUT|E(?:HOST|NET)UNREACH/,
    'The host cannot be reached. Is it right, and does a firewall block the connection?',
  ],
]

/**
 * In Node: why a WebSocket could not be opened, and what to do. `error` comes from the WebSocket's `error` event.
 * Returns '' if it says nothing.
 */
export function whyNotOpened(error: unknown): string {
  const said = saidBy(error)
  if (said === '') return ''
  const [, known = ANYHOW] = advice.find(([pattern]) => pattern.test(said)) ?? []
  return `${said.replace(/\.$/, '')}. ${known}`
}

/** The code and message of the error, or of the first address if several were tried. OpenSSL's long texts are shortened. */
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

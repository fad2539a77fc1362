import { lookup as systemLookup } from 'node:dns/promises'
import http, { type Agent, type ClientRequest, type IncomingMessage } from 'node:http'
import https from 'node:https'
import { isIP, type LookupFunction } from 'node:net'
import type { Clock } from '@peerage/core'
import { readVersion } from '../lib/version.js'
import { reasonOf } from '../lib/reason.js'
import { isPublicAddress } from './public-address.js'

/** Idle connections to one host that are kept for the next request. */
const IDLE_MOST = 16
const IDLE_MS = 15_000

export interface Address {
  address: string
  family: number
}

export interface OutboundOptions {
  clock: Clock
  /** Resolves a host to all its addresses. Default: as the system does. */
  lookup?: (host: string) => Promise<Address[]>
  /** PEM text of the authorities to trust, instead of those that Node trusts. */
  ca?: string
}

export interface OutboundRequest {
  method: 'GET' | 'POST'
  headers?: Readonly<Record<string, string>>
  body?: string
  /** For all of it: look-up, connection, TLS, request, and answer to its last byte. */
  timeoutMs: number
  /** The longest body of the answer. */
  mostBytes: number
  /** Whether addresses that are not public are allowed. */
  allowPrivate: boolean
  /** Ends the request. */
  signal?: AbortSignal
}

export type OutboundAnswer =
  | { ok: true; status: number; body: string }
  /** `cause`: `answer` if a server was reached, and its answer is refused here. `problem`: the rest of a sentence that begins with the URL. */
  | { ok: false; cause: 'unreachable' | 'address' | 'answer'; problem: string }

type Failure = Extract<OutboundAnswer, { ok: false }>

export interface Outbound {
  /** Never rejects. */
  request(url: string, request: OutboundRequest): Promise<OutboundAnswer>
  /** Closes idle connections. */
  stop(): void
}

/**
 * Requests of a node to servers that its configuration names. A host is resolved once for each request, every address is
 * checked, and the connection goes to one of these addresses. So a DNS answer that changes in between changes nothing.
 * If a connection that was kept breaks before any answer, the request is sent once more, so a server may get it twice.
 * The names in Host, SNI and certificate stay those of the URL. A redirect is a failure, and proxies of the environment
 * are not used.
 *
 * @example
 *   const outbound = createOutbound({ clock: systemClock })
 *   const answer = await outbound.request('https://id.example/keys.json', {
 *     method: 'GET', timeoutMs: 5_000, mostBytes: 262_144, allowPrivate: false,
 *   })
 *   if (answer.ok && answer.status === 200) use(answer.body)
 */
export function createOutbound({ clock, lookup = lookupAll, ca }: OutboundOptions): Outbound {
  const kept = { keepAlive: true, maxFreeSockets: IDLE_MOST, timeout: IDLE_MS }
  const agents: Agents = {
    http: new http.Agent(kept),
    https: new https.Agent({ ...kept, ...(ca !== undefined && { ca }) }),
  }
  const resolve = sharedLookup(lookup)

  return {
    async request(text, request) {
      const url = new URL(text)
      const ended = new AbortController()
      const timer = clock.after(request.timeoutMs, () => ended.abort())
      const abort = (): void => ended.abort()
      request.signal?.addEventListener('abort', abort)
      if (request.signal?.aborted === true) abort()
      try {
        const timedOut: Promise<Failure> = aborted(
          ended.signal,
          `did not answer within ${request.timeoutMs} ms`,
        )
        return await Promise.race([
          timedOut,
          exchange({ url, request, agents, resolve, signal: ended.signal }),
        ])
      } finally {
        timer.cancel()
        request.signal?.removeEventListener('abort', abort)
        ended.abort()
      }
    },
    stop: () => {
      agents.http.destroy()
      agents.https.destroy()
    },
  }
}

interface Agents {
  http: http.Agent
  https: https.Agent
}

interface Exchange {
  url: URL
  request: OutboundRequest
  agents: Agents
  resolve: (host: string) => Promise<Address[]>
  signal: AbortSignal
}

const lookupAll = (host: string): Promise<Address[]> => systemLookup(host, { all: true, order: 'verbatim' })

/** Requests for the same host at the same time share one look-up, because a process runs only a few look-ups at once. */
function sharedLookup(lookup: (host: string) => Promise<Address[]>): (host: string) => Promise<Address[]> {
  const running = new Map<string, Promise<Address[]>>()
  return (host) => {
    const former = running.get(host)
    if (former !== undefined) return former
    const started = lookup(host).finally(() => running.delete(host))
    running.set(host, started)
    return started
  }
}

function aborted(signal: AbortSignal, problem: string): Promise<Failure> {
  return new Promise((resolve) => {
    const end = (): void => resolve({ ok: false, cause: 'unreachable', problem })
    if (signal.aborted) end()
    else signal.addEventListener('abort', end, { once: true })
  })
}

async function exchange(exchange: Exchange): Promise<OutboundAnswer> {
  const { url, request, resolve } = exchange
  const located = await locate(url, request.allowPrivate, resolve)
  if (!located.ok) return located
  const { addresses } = located
  const { http, https } = exchange.agents
  const sent = await send(exchange, addresses, url.protocol === 'https:' ? https : http)
  // The server may close an idle connection at the moment that we use it. Then it has not read the request.
  return sent.isStale ? (await send(exchange, addresses, false)).answer : sent.answer
}

/** The addresses to which a URL leads, if requests may go to all of them. `lookup`: default, as the system does. */
export async function locate(
  url: URL,
  allowPrivate: boolean,
  lookup: (host: string) => Promise<Address[]> = lookupAll,
): Promise<{ ok: true; addresses: Address[] } | Failure> {
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1')
  let addresses: Address[]
  try {
    addresses = isIP(host) === 0 ? await lookup(host) : [{ address: host, family: isIP(host) }]
  } catch (error) {
    return unreachable(error)
  }
  if (addresses.length === 0)
    return { ok: false, cause: 'unreachable', problem: 'has a host without addresses' }
  const refused = allowPrivate ? undefined : addresses.find(({ address }) => !isPublicAddress(address))
  if (refused === undefined) return { ok: true, addresses }
  const problem = `leads to ${refused.address}, which is not a public address`
  return { ok: false, cause: 'address', problem }
}

const unreachable = (error: unknown): Failure => ({
  ok: false,
  cause: 'unreachable',
  problem: `cannot be reached: ${reasonOf(error)}`,
})

/** Node asks for one address or for all, depending on how it connects. */
function fixedLookup(addresses: readonly Address[]): LookupFunction {
  return (_host, { all }, done) => {
    const [first] = addresses
    if (all === true) done(null, [...addresses])
    else done(null, first?.address ?? '', first?.family)
  }
}

/** `isStale`: a connection that was kept from an earlier request broke before any answer. */
interface Sent {
  answer: OutboundAnswer
  isStale: boolean
}

/** `agent` false: on a new connection. */
function send(exchange: Exchange, addresses: readonly Address[], agent: Agent | false): Promise<Sent> {
  const { request, signal } = exchange
  return new Promise((resolve) => {
    const settle = (answer: OutboundAnswer): void => resolve({ answer, isStale: false })
    const sending = start(exchange, addresses, agent)
    signal.addEventListener('abort', () => void sending.destroy(), { once: true })
    sending.on('error', (error) => {
      resolve({ answer: unreachable(error), isStale: sending.reusedSocket && !signal.aborted })
    })
    sending.on('response', (response) => readAnswer(response, request.mostBytes, settle))
    // An answer that switches protocols closes the request without an error.
    sending.on('close', () => settle({ ok: false, cause: 'answer', problem: 'gave no answer of HTTP' }))
    sending.end(request.body)
  })
}

function start(
  { url, request }: Exchange,
  addresses: readonly Address[],
  agent: Agent | false,
): ClientRequest {
  const { method, body = '', headers } = request
  const { request: begin } = url.protocol === 'https:' ? https : http
  return begin(url, {
    method,
    agent,
    lookup: fixedLookup(addresses),
    headers: {
      'user-agent': `peerage/${readVersion()}`,
      // A compressed answer could be small here and large when it is unpacked.
      'accept-encoding': 'identity',
      ...(method === 'POST' && { 'content-length': Buffer.byteLength(body) }),
      ...headers,
    },
  })
}

function readAnswer(
  response: IncomingMessage,
  mostBytes: number,
  settle: (answer: OutboundAnswer) => void,
): void {
  const { statusCode: status = 0 } = response
  const refuse = (problem: string): void => {
    settle({ ok: false, cause: 'answer', problem })
    response.destroy()
  }
  if (status >= 300 && status < 400)
    return refuse(`answered with a redirect (${status}), and redirects are not followed`)
  const chunks: Buffer[] = []
  let bytes = 0
  response.on('data', (chunk: Buffer) => {
    bytes += chunk.length
    if (bytes > mostBytes) refuse(`answered with more than ${mostBytes} bytes`)
    else chunks.push(chunk)
  })
  response.on('end', () => settle({ ok: true, status, body: Buffer.concat(chunks).toString('utf8') }))
  response.on('error', (error) => settle(unreachable(error)))
}

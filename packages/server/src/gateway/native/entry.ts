import type { Node } from '@peerage/core'
import { hashSecret, mintName } from '@peerage/core'
import type { ProtocolError } from '@peerage/protocol'
import { decodeHello, errorTexts, peerOf, protocolError } from '@peerage/protocol'
import type { Access, AdmitRequest } from '../shared/access.js'
import type { Limits } from '../shared/limits.js'
import type { GatewayMetrics } from '../shared/events.js'
import type { NativeConnection } from './connection.js'

/** Where so many claims wait that no more may: most of them are answered by then. */
const OVERLOADED_RETRY_MS = 2_000

export interface NativeAdmitParts {
  node: Node
  access: Access
  limits: Limits
  metrics: GatewayMetrics
  policy: (app: string) => 'refuse' | 'replace'
  /** What a welcome says of times, in milliseconds. */
  welcome: (host: undefined) => { graceMs: number; pingMs: number }
}

/** What a CONNECT packet says; undefined: no JSON object. */
export function readHello(text: string): unknown {
  if (text === '') return {}
  if (!text.startsWith('{')) return undefined
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** Claims the name that a hello asks for. Resolves with why it is refused, or with undefined: the peer has its name. */
export async function admitNative(
  connection: NativeConnection,
  said: unknown,
  { node, access, limits, metrics, policy, welcome }: NativeAdmitParts,
): Promise<ProtocolError | undefined> {
  const hello = decodeHello(said)
  if (!hello.ok) return hello.error
  const { app, name = mintName(), secret, token } = hello.value
  const { address, request } = connection.socket
  const origin = request?.headers['origin']
  const asked: AdmitRequest = { name, wire: 'native', address }
  if (app !== undefined) asked.app = app
  if (token !== undefined) asked.token = token
  if (origin !== undefined) asked.origin = origin
  // Asked before the access rules and the registry are. Not for the name as well: anybody could keep its holder out.
  const waitMs = limits.failuresMs(address)
  if (waitMs > 0) return protocolError('rate-limited', errorTexts['rate-limited'], waitMs)
  const admitted = await access.admit(asked)
  if (!admitted.ok) return slowed(protocolError(admitted.code, admitted.detail), limits, address, name)
  const peer = peerOf(admitted.app, name)
  const wanted = admitted.identity === undefined ? 'refuse' : policy(admitted.app)
  const outcome = await node.claim(connection, { peer, secret, policy: wanted })
  if (!outcome.ok) {
    if (outcome.code === 'name-taken')
      return slowed(taken(welcome(undefined)), limits, address, hashSecret(peer, ''))
    const retryAfterMs = outcome.code === 'overloaded' ? OVERLOADED_RETRY_MS : undefined
    return protocolError(outcome.code, errorTexts[outcome.code], retryAfterMs)
  }
  metrics.registered('native', outcome.reclaimed ? 'reclaimed' : 'ok')
  return undefined
}

/** The same of every name, whether its holder is there or away: who may not have it learns nothing of that one [H7]. */
function taken({ graceMs, pingMs }: { graceMs: number; pingMs: number }): ProtocolError {
  const [grace, silence] = [graceMs / 1_000, pingMs / 1_000]
  const until = `It is free when that one leaves, or ${grace} s after its connection has ended`
  const text = `${errorTexts['name-taken']}. ${until} (one that falls silent ends within ${silence} s)`
  return protocolError('name-taken', text, graceMs + pingMs)
}

function slowed(error: ProtocolError, limits: Limits, address: string, name: string): ProtocolError {
  const waitMs = limits.claimFailed(address, name)
  return waitMs === 0 ? error : protocolError('rate-limited', errorTexts['rate-limited'], waitMs)
}

import { randomBytes } from 'node:crypto'
import type { App, Name, Peer } from '@peerage/protocol'
import { parseName, parsePeer, peerOf } from '@peerage/protocol'
import type { Access, AdmitRequest } from '../shared/access.js'
import { sameSecret } from '../shared/access.js'
import type { Credentials } from './wire.js'
import { refusals } from './wire.js'

/** The `key` of PeerJS: the one that is served, `*` for any, or which app each key stands for. */
export type PeerJsKeys = string | Readonly<Record<string, App>>

/** Paths of ours that look like keys. */
const RESERVED_KEYS: ReadonlySet<string> = new Set(['v1', 'peerage'])
/** Parts an access token from the peer's own secret, in PeerJS's one `token` field; no token of ours has it. */
const TOKEN_DIVIDER = '~'

export type KeyMeaning = { ok: true; app: App | undefined } | { ok: false }

/** Whether a key is served, and the app that it stands for where there is a mapping [P2]. */
export function meaningOf(keys: PeerJsKeys, key: string): KeyMeaning {
  if (RESERVED_KEYS.has(key)) return { ok: false }
  if (typeof keys === 'string')
    return keys === '*' || sameSecret(keys, key) ? { ok: true, app: undefined } : { ok: false }
  const app = Object.hasOwn(keys, key) ? keys[key] : undefined
  return app === undefined ? { ok: false } : { ok: true, app }
}

export type PeerJsAdmitted =
  /** `identity`: proven by the access rules; `secret`: what takes the name back. */
  | { ok: true; peer: Peer; app: App; secret: string; identity: string | undefined }
  /** `text`: for the ERROR frame. `what`: for metrics. */
  | { ok: false; text: string; what: string }

export interface Arrival {
  credentials: Credentials
  origin: string | undefined
  address: string
}

/**
 * Who may come in, and as whom. The access rules see what stands in PeerJS's `token` field (up to a `~`, if there is
 * one); where that does not do, what stands in its `key` field, so that a shared key can travel in either [P11].
 */
export async function admitPeerJs(
  arrival: Arrival,
  parts: { access: Access; keys: PeerJsKeys },
): Promise<PeerJsAdmitted> {
  const { id, token, key } = arrival.credentials
  const name = parseName(id)
  if (!name.ok) return { ok: false, text: `Invalid id provided: ${name.problem}`, what: 'bad-name' }
  const meaning = meaningOf(parts.keys, key)
  const divider = token.indexOf(TOKEN_DIVIDER)
  const presented = divider < 0 ? token : token.slice(0, divider)
  const asked = (presented: string): AdmitRequest => ({
    name: name.value,
    wire: 'peerjs',
    address: arrival.address,
    token: presented,
    ...(meaning.ok && meaning.app !== undefined ? { app: meaning.app } : {}),
    ...(arrival.origin === undefined ? {} : { origin: arrival.origin }),
  })
  if (meaning.ok) {
    const admitted = await parts.access.admit(asked(presented))
    // A token that many peers share is no secret of one of them: its bearer cannot take a name back [I9].
    const shared = admitted.ok && admitted.identity !== undefined && divider < 0
    if (admitted.ok)
      return accept(name.value, admitted, shared ? randomBytes(16).toString('base64url') : token)
  }
  const admitted = await parts.access.admit(asked(key))
  if (admitted.ok && admitted.identity !== undefined) return accept(name.value, admitted, token)
  return { ok: false, text: meaning.ok ? refusals.token : refusals.key, what: 'forbidden' }
}

function accept(name: Name, admitted: { app: App; identity?: string }, secret: string): PeerJsAdmitted {
  const { app, identity } = admitted
  // The name is a piece of the whole query until it is copied, and would keep all of it.
  const own = parsePeer(Buffer.from(peerOf(app, name)).toString())
  return { ok: true, peer: own.ok ? own.value : peerOf(app, name), app, secret, identity }
}

import { createHash } from 'node:crypto'
import type { Peer, TurnCredentials } from '@peerage/protocol'
import { appOf, formatIceUrl, parseIceUrl } from '@peerage/protocol'
import { mintTurnCredentials } from '@peerage/stun'
import type { TurnPolicy } from '../../apps/policy.js'
import type { Config } from '../../config/schema.js'

/** What a node tells peers so that they can reach each other: its P2P server (STUN) and TURN credentials. */
export interface P2PAdvice {
  /** `host:port` of the P2P server, or null. `requestHost` is the Host header of the peer's own request. */
  server(requestHost: string | undefined): string | null
  /** Fresh TURN credentials for a peer, by the settings of its app. Null if the app has no TURN server. */
  turn(peer: Peer, policy: TurnPolicy): TurnCredentials | null
}

/** `udpPort` returns the port of the integrated P2P server, or null while it is not bound or if there is none. */
export function p2pAdvice(options: {
  p2p: Pick<Config['p2p'], 'server' | 'advertise'>
  udpPort: () => number | null
  now: () => number
}): P2PAdvice {
  const { p2p, udpPort, now } = options
  return {
    server(requestHost) {
      if (p2p.server !== null) return p2p.server
      const port = udpPort()
      if (port === null) return null
      if (p2p.advertise !== null) return p2p.advertise
      return besides(requestHost ?? '', port)
    },
    turn(peer, { urls, secret, previousSecret, ttlMs }) {
      if (secret === null) return null
      const { username, password, ttl, uris } = mintTurnCredentials({
        secrets: previousSecret === null ? [secret] : [secret, previousSecret],
        name: turnUserOf(peer),
        ttlSeconds: Math.ceil(ttlMs / 1_000),
        uris: urls,
        nowMs: now(),
      })
      return { urls: [...uris], username, credential: password, ttlMs: ttl * 1_000 }
    },
  }
}

/** 128 bits of the hash, so that two peers of an app do not get the same one by chance. */
const USER_HEX_DIGITS = 32

/**
 * The owner of TURN credentials, whose quota at the TURN server they use: `app/` and a hash of the peer. The name itself
 * may contain characters that a TURN server refuses in a username (coturn: a space, a quote), and the TURN server need
 * not know it.
 */
function turnUserOf(peer: Peer): string {
  const digest = createHash('sha256').update(peer).digest('hex')
  return `${appOf(peer)}/${digest.slice(0, USER_HEX_DIGITS)}`
}

/** The P2P server at the host that the peer itself used to reach this node, without that port (RFC 9110 §7.2). */
function besides(requestHost: string, port: number): string | null {
  const read = parseIceUrl(`stun:${requestHost}`)
  return read.ok ? formatIceUrl({ ...read.value, port }).slice('stun:'.length) : null
}

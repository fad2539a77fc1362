import { STUN_DEFAULTS } from '@peerage/stun'
import { z } from 'zod'
import { define } from './load.js'
import { host, listOf, log, port, section, set, whole } from './kinds.js'

const { rate, tcpLimits } = STUN_DEFAULTS
const MAX_COUNT = 1_000_000

const stunSchema = z.strictObject({
  host: set(
    listOf(host('port'), '0.0.0.0').default(['0.0.0.0', '::']),
    'addresses to listen on; an address that this machine does not have is skipped if another one works',
  ),
  port: set(port.default(9_901), 'UDP and TCP port; 0 picks a free one'),
  rate: section({
    perSecond: set(
      whole(1, MAX_COUNT).default(rate.perSecond),
      'answers a second to one address (IPv6: to one /64)',
    ),
    burst: set(whole(1, MAX_COUNT).default(rate.burst), 'answers to one address in a burst'),
  }),
  tcp: section({
    connections: set(
      whole(1, MAX_COUNT).default(tcpLimits.connections),
      'open TCP connections, for peers whose network blocks UDP',
    ),
    connectionsPerSource: set(
      whole(1, MAX_COUNT).default(tcpLimits.connectionsPerSource),
      'open TCP connections of one address (IPv6: of one /64)',
    ),
    idleMs: set(
      whole(1, 86_400_000).default(tcpLimits.idleMs),
      'the server ends a TCP connection without a request for this long',
    ),
  }),
  log: log(),
})

export type StunConfig = z.output<typeof stunSchema>

/** The settings of the standalone P2P server. */
export const stunDefinition = define(stunSchema, 'PEERAGE_STUN_')

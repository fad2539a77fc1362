import { STUN_DEFAULTS } from '@peerage/stun'
import { z } from 'zod'
import { define } from './load.js'
import { host, listOf, oneOf, port, section, set, whole } from './kinds.js'

const { rate, tcpLimits } = STUN_DEFAULTS
const MAX_COUNT = 1_000_000

const stunSchema = z.strictObject({
  host: set(
    listOf(host('port')).default(['0.0.0.0', '::']),
    'addresses to listen on; one that this machine lacks is left out if another one works',
  ),
  port: set(port.default(9_901), 'UDP and TCP port; 0 picks a free one'),
  rate: section({
    perSecond: set(whole(1, MAX_COUNT).default(rate.perSecond), 'answers to one source (IPv6: /64) a second'),
    burst: set(whole(1, MAX_COUNT).default(rate.burst), 'answers to one source at once'),
  }),
  tcp: section({
    connections: set(
      whole(1, MAX_COUNT).default(tcpLimits.connections),
      'open TCP connections; they are for peers whose network lets no UDP out',
    ),
    connectionsPerSource: set(
      whole(1, MAX_COUNT).default(tcpLimits.connectionsPerSource),
      'open TCP connections of one source',
    ),
    idleMs: set(whole(1, 86_400_000).default(tcpLimits.idleMs), 'a TCP connection without a request ends'),
  }),
  log: section({
    level: set(oneOf('trace', 'debug', 'info', 'warn', 'error', 'silent').default('info'), 'what is logged'),
    format: set(
      oneOf('auto', 'pretty', 'json').default('auto'),
      'how a log line looks; auto: pretty on a terminal, JSON elsewhere',
    ),
  }),
})

export type StunConfig = z.output<typeof stunSchema>

/** What the standalone P2P server can be told. */
export const stunDefinition = define(stunSchema, 'PEERAGE_STUN_')

import type { EndReason, SessionEnd } from '../types.js'
import type { Bye } from './control.js'

/** How the transfers of a session end with it. */
export const transferEnds: Record<SessionEnd, EndReason> = {
  'not-found': 'peer-offline',
  'wrong-link': 'channel-closed',
  'not-verified': 'channel-closed',
  'wrong-password': 'channel-closed',
  locked: 'channel-closed',
  'wrong-code': 'channel-closed',
  'taken-elsewhere': 'taken-elsewhere',
  stopped: 'stopped',
  expired: 'stopped',
  'peer-left': 'peer-offline',
  'self-closed': 'self-offline',
  'closed-here': 'cancelled-here',
  'closed-there': 'cancelled-there',
  incompatible: 'channel-closed',
  failed: 'channel-closed',
}

/** How a session ends when the other side says so. */
export const byeEnds: Record<Bye, SessionEnd> = {
  closed: 'closed-there',
  stopped: 'stopped',
  expired: 'expired',
  'taken-elsewhere': 'taken-elsewhere',
}

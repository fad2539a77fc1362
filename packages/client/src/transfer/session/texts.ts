import type { SessionEnd } from '../types.js'

/** What happened, for people, where no more is known. */
export const endTexts: Record<SessionEnd, string> = {
  'not-found': 'nobody shares files under this link or code now',
  'wrong-link':
    'the link does not fit: a character of it was changed, or it is an old one; copy it again, or ask for the new one',
  'not-verified':
    'the other side is not the one that made this link, so nothing was sent; perhaps a character of the link was changed, or somebody between the two interferes: copy the link again, or get it by another way',
  'wrong-password': 'the password is wrong',
  locked: 'the password was wrong ten times, so the share takes nobody new; ask for a new link',
  'wrong-code': 'the code is wrong, and it is void now; ask for a new one',
  'taken-elsewhere': 'the files are for one receiver, and another one took them',
  stopped: 'the other side stopped sharing',
  expired: 'the share has expired',
  'peer-left': 'the other side has left',
  'self-closed': 'this side is closed',
  'closed-here': 'ended here',
  'closed-there': 'the other side ended the connection',
  incompatible: 'the two sides use different versions; reload the page, or update the program',
  failed: 'no connection could be made',
}

/** What is said of the files of a session that one side ends. Both sides show it, so it says neither here nor there. */
export const fileTexts: Partial<Record<SessionEnd, string>> = {
  stopped: 'the share was stopped',
  'self-closed': 'the program or the page was closed',
  'closed-here': 'the session was ended',
}

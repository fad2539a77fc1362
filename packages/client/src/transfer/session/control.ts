// What host and guest tell each other about the session itself, over a verified conduit: texts that begin with a mark
// which no message of a transfer has.

/** The version of everything that host and guest say to each other. */
export const VERSION = 1
const MARK = '{"session":'
/** No honest side says more. */
const DEVICE_LENGTH_MAX = 100
const TICKET_LENGTH_MAX = 64

/** Why a host refuses a guest that has proven to know the link. */
export type Refusal = 'stopped' | 'expired' | 'taken-elsewhere' | 'incompatible' | 'busy'
/** Why a side ends the session. */
export type Bye = 'closed' | 'stopped' | 'expired' | 'taken-elsewhere'

/** What holds for a share, as its guests know it. */
export interface ShareTerms {
  isOneTime: boolean
  /** Milliseconds since 1970. */
  expiresAt?: number
}

/** A message about the session. */
export type Control =
  /**
   * The first message of a guest on a conduit. `instance`: new at each load of its page. `number`: how many it has said,
   * so that of two conduits both sides use the later one.
   */
  | { session: 'hello'; version: number; device: string; instance: string; number: number; ticket?: string }
  /**
   * The host's answer. `isTaken`: this guest has taken the one-time share. `ticket`: with it, the guest comes back after a
   * reload. `isOneTime` and `expiresAt`: as in `terms`.
   */
  | {
      session: 'welcome'
      version: number
      device: string
      instance: string
      isTaken: boolean
      ticket?: string
      isOneTime: boolean
      expiresAt?: number
    }
  /** The host has changed what holds for its share: whether it is for one receiver, and when it ends. */
  | ({ session: 'terms' } & ShareTerms)
  | { session: 'refused'; why: Refusal }
  /** The guest's Accept has taken the one-time share. */
  | { session: 'taken' }
  | { session: 'bye'; why: Bye }

const REFUSALS: readonly Refusal[] = ['stopped', 'expired', 'taken-elsewhere', 'incompatible', 'busy']
const BYES: readonly Bye[] = ['closed', 'stopped', 'expired', 'taken-elsewhere']

export const isControl = (text: string): boolean => text.startsWith(MARK)

/** `session` comes first, so that the other side finds the mark. */
export function encodeControl({ session, ...rest }: Control): string {
  return JSON.stringify({ session, ...rest })
}

/** Undefined for a text that breaks the format. */
export function decodeControl(text: string): Control | undefined {
  const fields = fieldsOf(text)
  const { session, version, device, instance, ticket, why } = fields
  switch (session) {
    case 'hello':
    case 'welcome': {
      if (typeof version !== 'number') return undefined
      // Of another version, only the number can be relied on.
      const who = {
        version,
        device: shortened(device, DEVICE_LENGTH_MAX),
        instance: shortened(instance, TICKET_LENGTH_MAX),
        ...(typeof ticket === 'string' && { ticket: ticket.slice(0, TICKET_LENGTH_MAX) }),
      }
      if (session === 'hello') return { session, ...who, number: countOf(fields['number']) }
      return { session, ...who, isTaken: fields['isTaken'] === true, ...termsOf(fields) }
    }
    case 'terms':
      return { session, ...termsOf(fields) }
    case 'refused': {
      const known = REFUSALS.find((one) => one === why)
      return known && { session, why: known }
    }
    case 'bye': {
      const known = BYES.find((one) => one === why)
      return known && { session, why: known }
    }
    case 'taken':
      return { session }
    default:
      return undefined
  }
}

const countOf = (value: unknown): number =>
  typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : 0

const termsOf = ({ isOneTime, expiresAt }: Record<string, unknown>): ShareTerms => ({
  isOneTime: isOneTime === true,
  ...(typeof expiresAt === 'number' && Number.isFinite(expiresAt) && { expiresAt }),
})

const shortened = (value: unknown, most: number): string =>
  // Control characters have no place in what is shown to people.
  typeof value === 'string' ? value.replaceAll(/\p{Cc}/gu, ' ').slice(0, most) : ''

function fieldsOf(text: string): Record<string, unknown> {
  try {
    const parsed: unknown = JSON.parse(text)
    return typeof parsed === 'object' && parsed !== null ? { ...parsed } : {}
  } catch {
    return {}
  }
}

import { sha256 } from '@noble/hashes/sha2.js'
import { concat, utf8 } from '../transfer/keys/bytes.js'
import type { Bytes, Random } from '../transfer/keys/bytes.js'
import { connectAsGuest } from '../transfer/keys/guest.js'
import type {
  GuestResult,
  GuestSecret,
  HandshakeContext,
  HandshakeKind,
  HandshakeOptions,
  HostResult,
  HostSecrets,
  Line,
  SessionKeys,
} from '../transfer/keys/handshake.js'
import { answerAsHost } from '../transfer/keys/host.js'
import { createKeyPair, hashOfKey } from '../transfer/keys/key-pair.js'

type Role = 'guest' | 'host'

/** Bytes that the same seed repeats. */
export function repeatableRandom(seed: string): Random {
  let count = 0
  return (length) => {
    const start = `${seed} ${count++}`
    const blocks = Array.from({ length: Math.ceil(length / 32) }, (_, at) => sha256(utf8(`${start} ${at}`)))
    return concat(...blocks).slice(0, length)
  }
}

/** One end of a line in memory. */
export class LineEnd implements Line {
  readonly #arrived: Bytes[] = []
  #waiting: ((bytes: Bytes | undefined) => void)[] = []
  #isClosed = false
  deliver: (bytes: Bytes) => void = () => undefined

  send(bytes: Bytes): void {
    if (this.#isClosed) throw new Error('the line is closed')
    this.deliver(bytes)
  }

  arrive(bytes: Bytes): void {
    const next = this.#waiting.shift()
    if (next) next(bytes)
    else this.#arrived.push(bytes)
  }

  async receive(): Promise<Bytes> {
    const bytes =
      this.#arrived.shift() ??
      (this.#isClosed
        ? undefined
        : await new Promise<Bytes | undefined>((resolve) => this.#waiting.push(resolve)))
    if (!bytes) throw new Error('the line is closed')
    return bytes
  }

  close(): void {
    this.#isClosed = true
    for (const next of this.#waiting.splice(0)) next(undefined)
  }
}

/** What lies between the two: it gets each message, counted from 1, and says what arrives. */
export type Relay = (bytes: Bytes, type: number, from: Role) => Bytes[]

export function linesOver(relay: Relay = (bytes) => [bytes]): { guest: LineEnd; host: LineEnd } {
  const [guest, host] = [new LineEnd(), new LineEnd()]
  const carry = (from: Role, to: LineEnd) => (bytes: Bytes) => {
    for (const one of relay(bytes.slice(), bytes[1] ?? 0, from)) to.arrive(one)
  }
  guest.deliver = carry('guest', host)
  host.deliver = carry('host', guest)
  return { guest, host }
}

export const fingerprints = { guest: 'a1'.repeat(32), host: 'b2'.repeat(32) }

/** What both sides see if nobody is between them. */
export const contexts: Record<Role, HandshakeContext> = {
  guest: {
    handshake: 'hs-1',
    local: { name: 'gus', fingerprint: fingerprints.guest },
    remote: { name: 'hana', fingerprint: fingerprints.host },
  },
  host: {
    handshake: 'hs-1',
    local: { name: 'hana', fingerprint: fingerprints.host },
    remote: { name: 'gus', fingerprint: fingerprints.guest },
  },
}

export const keyPair = createKeyPair(repeatableRandom('key pair'))
export const linkSecret = repeatableRandom('link')(16)
export const linkKey = { needsPassword: false, secret: linkSecret, keyHash: hashOfKey(keyPair.publicKey) }

/** A session that both sides have. */
export const session: SessionKeys = {
  id: '0123456789abcdef0123456789abcdef',
  key: repeatableRandom('session')(32),
  hostKey: keyPair.publicKey,
  seal: { out: new Uint8Array(32), in: new Uint8Array(32) },
}
/** What a guest has, for each kind. */
export const guestSecrets: Record<HandshakeKind, GuestSecret> = {
  link: { kind: 'link', key: linkKey },
  'link+password': { kind: 'link+password', key: linkKey, password: 1234n },
  code: { kind: 'code', code: 5678n },
  session: { kind: 'session', session },
}
/** What a host has for one kind only. */
export const hostSecrets: Record<HandshakeKind, Partial<HostSecrets>> = {
  link: { links: [linkSecret] },
  'link+password': { links: [linkSecret], password: 1234n },
  code: { code: 5678n },
  session: { session: (id) => (id === session.id ? session : undefined) },
}

export interface Meeting {
  relay?: Relay
  guestContext?: HandshakeContext
  hostContext?: HandshakeContext
  guestOptions?: HandshakeOptions
  hostOptions?: HandshakeOptions
}

/** Runs both sides to their ends. When one has ended, the line closes, as a connection does that is not verified. */
export async function meet(
  secret: GuestSecret,
  secrets: Partial<HostSecrets>,
  meeting: Meeting = {},
): Promise<{ guest: GuestResult; host: HostResult }> {
  const lines = linesOver(meeting.relay)
  const guest = connectAsGuest(lines.guest, meeting.guestContext ?? contexts.guest, secret, {
    random: repeatableRandom('guest'),
    ...meeting.guestOptions,
  })
  const host = answerAsHost(
    lines.host,
    meeting.hostContext ?? contexts.host,
    { keyPair, ...secrets },
    { random: repeatableRandom('host'), ...meeting.hostOptions },
  )
  const close = (): void => {
    lines.guest.close()
    lines.host.close()
  }
  void guest.finally(close)
  void host.then((result) => (result.ok ? undefined : close()), close)
  return { guest: await guest, host: await host }
}

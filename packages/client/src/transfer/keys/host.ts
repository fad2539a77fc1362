import { concat, isEqual, systemRandom, toHex } from './bytes.js'
import type { Bytes } from './bytes.js'
import { openExchange, shareBytes } from './exchange.js'
import type { ExchangeSecret } from './exchange.js'
import { PAYLOAD_BYTES_MAX } from './handshake.js'
import type {
  HandshakeContext,
  HandshakeFailure,
  HandshakeKind,
  HandshakeOptions,
  HostResult,
  HostSecrets,
  HostSuccess,
  Line,
  SessionKeys,
} from './handshake.js'
import { sign } from './key-pair.js'
import {
  CONFIRM_BYTES,
  fieldsOf,
  kindOf,
  LINK_ID_BYTES,
  MAC_BYTES,
  message,
  receive,
  refuse,
  send,
  SESSION_ID_BYTES,
} from './messages.js'
import { linkKeys, linkMac, scheduleOf, Transcript } from './schedule.js'
import type { Schedule } from './schedule.js'
import { createCipher, nonceOf } from './seal.js'

type Failure = { ok: false; why: HandshakeFailure; isTold?: boolean; isGuess?: boolean }
type Step<T> = { ok: true; value: T } | Failure
const failed = (why: HandshakeFailure): Failure => ({ ok: false, why })

/**
 * Serves one guest, by whatever kind the guest chooses and the host has a secret for.
 *
 * @param line carries the messages; its `receive` has a deadline
 * @throws RangeError if `secrets.payload` gives more than 512 bytes
 * @example
 * const secrets = { keyPair, links: [linkSecret], session: (id) => sessions.get(id)?.keys }
 * const result = await answerAsHost(line, { handshake: line.handshake, local, remote }, secrets)
 * if (!result.ok && result.isGuess) triesLeft--
 */
export async function answerAsHost(
  line: Line,
  context: HandshakeContext,
  secrets: HostSecrets,
  options: HandshakeOptions = {},
): Promise<HostResult> {
  const m1 = await receive(line, 1)
  const kind = m1.ok ? kindOf(m1.bytes[2]) : undefined
  const result: Step<HostSuccess> = !m1.ok
    ? m1
    : kind === undefined
      ? failed('incompatible')
      : await new HostHandshake(line, kind, context, secrets, options).run(m1.bytes)
  if (result.ok) return result.value
  const { why, isTold = false, isGuess = false } = result
  if (!isTold)
    await refuse(line, why, isGuess && kind === 'link+password' ? secrets.triesLeft?.() : undefined)
  // What a guest gives as its reason is not a finding of the host.
  return { ok: false, why: isTold ? 'broken-off' : why, kind, isGuess }
}

/** The secret that the guest has named, and the key that proves to have its link. */
interface Chosen {
  exchange: ExchangeSecret
  /** The link is one that needs no password. */
  isOpenLink?: boolean
  authKey?: Bytes
  session?: SessionKeys
}

class HostHandshake {
  readonly #transcript: Transcript

  constructor(
    readonly line: Line,
    readonly kind: HandshakeKind,
    context: HandshakeContext,
    readonly secrets: HostSecrets,
    readonly options: HandshakeOptions,
  ) {
    this.#transcript = new Transcript(kind, context, 'host')
  }

  async run(m1: Bytes): Promise<Step<HostSuccess>> {
    const first = this.#readFirst(m1)
    if (!first.ok) return first
    const { chosen, theirs } = first.value
    const refusal = this.secrets.refuse?.(this.kind)
    if (refusal) return failed(refusal)
    const schedule = await this.#sendShare(chosen, theirs)
    if (!schedule.ok) return schedule
    const confirmed = await this.#receiveConfirm(chosen, schedule.value)
    if (!confirmed.ok) return confirmed
    return this.#sendIdentity(chosen, schedule.value)
  }

  #readFirst(m1: Bytes): Step<{ chosen: Chosen; theirs: Bytes }> {
    const isLink = this.kind === 'link' || this.kind === 'link+password'
    const idBytes = isLink ? LINK_ID_BYTES : this.kind === 'session' ? SESSION_ID_BYTES : 0
    const lengths = [3, idBytes, shareBytes(this.kind), isLink ? MAC_BYTES : 0]
    const [header, id, theirs, mac] = fieldsOf(m1, ...lengths) ?? []
    if (!header || !id || !theirs || !mac) return failed('malformed')
    const chosen = this.#choose(id)
    if (!chosen.ok) return chosen
    const { authKey } = chosen.value
    if (authKey && !isEqual(mac, linkMac(authKey, this.#transcript, concat(header, id, theirs))))
      return failed('not-verified')
    const missing = this.#passwordMistake(chosen.value)
    if (missing) return failed(missing)
    this.#transcript.add(m1)
    return { ok: true, value: { chosen: chosen.value, theirs } }
  }

  #passwordMistake({ isOpenLink }: Chosen): 'password-needed' | 'password-not-needed' | undefined {
    const needsPassword = this.secrets.password !== undefined && isOpenLink !== true
    if (this.kind === 'link' && needsPassword) return 'password-needed'
    if (this.kind === 'link+password' && !needsPassword) return 'password-not-needed'
    return undefined
  }

  #choose(id: Bytes): Step<Chosen> {
    const { kind, secrets } = this
    switch (kind) {
      case 'code':
        return secrets.code === undefined
          ? failed('no-code')
          : { ok: true, value: { exchange: { kind, w: secrets.code } } }
      case 'session': {
        const session = secrets.session?.(toHex(id))
        return session
          ? { ok: true, value: { exchange: { kind, sessionKey: session.key }, session } }
          : failed('not-the-session')
      }
      case 'link':
      case 'link+password': {
        const isMeant = (secret: Bytes): boolean => isEqual(linkKeys(secret).id, id)
        const open = secrets.openLinks?.find(isMeant)
        const linkSecret = open ?? secrets.links?.find(isMeant)
        if (!linkSecret) return failed('wrong-link')
        const { authKey } = linkKeys(linkSecret)
        const exchange: ExchangeSecret =
          kind === 'link' || secrets.password === undefined
            ? { kind: 'link', linkSecret }
            : { kind, linkSecret, w: secrets.password }
        return { ok: true, value: { exchange, authKey, isOpenLink: open !== undefined } }
      }
    }
  }

  async #sendShare(chosen: Chosen, theirs: Bytes): Promise<Step<Schedule>> {
    const exchange = openExchange(chosen.exchange, 'host', this.options.random ?? systemRandom)
    const withoutMac = message(2, exchange.share)
    const mac = chosen.authKey && linkMac(chosen.authKey, this.#transcript, withoutMac)
    const m2 = mac ? concat(withoutMac, mac) : withoutMac
    this.#transcript.add(m2)
    const agreed = exchange.agree(theirs, this.#transcript)
    if (!agreed) return failed('malformed')
    if (!(await send(this.line, m2))) return { ...failed('broken-off'), isTold: true }
    return { ok: true, value: scheduleOf(agreed, this.#transcript) }
  }

  async #receiveConfirm({ authKey }: Chosen, { guestConfirm }: Schedule): Promise<Step<undefined>> {
    const m3 = await receive(this.line, 3)
    if (!m3.ok) return m3
    const macKey = this.kind === 'link+password' ? authKey : undefined
    const [header, confirm, mac] = fieldsOf(m3.bytes, 2, CONFIRM_BYTES, macKey ? MAC_BYTES : 0) ?? []
    if (!header || !confirm || !mac) return failed('malformed')
    // Without this, a node that carries the message could use up the tries of the password.
    if (macKey && !isEqual(mac, linkMac(macKey, this.#transcript, concat(header, confirm))))
      return failed('not-verified')
    const refusal = this.secrets.refuse?.(this.kind)
    if (refusal) return failed(refusal)
    const isRight = isEqual(confirm, guestConfirm)
    this.secrets.onProof?.(this.kind, isRight)
    return isRight ? { ok: true, value: undefined } : this.#wrongProof()
  }

  #wrongProof(): Failure {
    switch (this.kind) {
      case 'link':
      case 'session':
        return failed('not-verified')
      case 'link+password':
        return { ...failed('wrong-password'), isGuess: true }
      case 'code':
        return { ...failed('wrong-code'), isGuess: true }
    }
  }

  async #sendIdentity({ session }: Chosen, schedule: Schedule): Promise<Step<HostSuccess>> {
    const { keyPair } = this.secrets
    const payload = this.secrets.payload?.(this.kind) ?? new Uint8Array()
    if (payload.length > PAYLOAD_BYTES_MAX)
      throw new RangeError(`the payload has ${payload.length} bytes; at most ${PAYLOAD_BYTES_MAX} fit`)
    const identity = session ? payload : concat(keyPair.publicKey, sign(keyPair, schedule.signed), payload)
    const cipher = await createCipher(schedule.identityKey, this.options.platform)
    const sealed = await cipher.encrypt(nonceOf(0), identity)
    if (!(await send(this.line, message(4, schedule.hostConfirm, sealed))))
      return { ...failed('broken-off'), isTold: true }
    const seal = { out: schedule.hostToGuest, in: schedule.guestToHost }
    const keys = session
      ? { ...session, seal }
      : { id: schedule.sessionId, key: schedule.sessionKey, hostKey: keyPair.publicKey, seal }
    return { ok: true, value: { ok: true, kind: this.kind, keys } }
  }
}

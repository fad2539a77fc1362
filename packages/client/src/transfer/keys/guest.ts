import { concat, fromHex, isEqual, systemRandom } from './bytes.js'
import type { Bytes } from './bytes.js'
import { openExchange, shareBytes } from './exchange.js'
import type { Exchange, ExchangeSecret } from './exchange.js'
import type {
  GuestResult,
  GuestSecret,
  GuestSuccess,
  HandshakeContext,
  HandshakeFailure,
  HandshakeOptions,
  Line,
} from './handshake.js'
import { hashOfKey, isSignedBy, PUBLIC_KEY_BYTES, SIGNATURE_BYTES } from './key-pair.js'
import { CONFIRM_BYTES, fieldsOf, kindCode, MAC_BYTES, message, receive, refuse, send } from './messages.js'
import { linkKeys, linkMac, scheduleOf, Transcript } from './schedule.js'
import type { Schedule } from './schedule.js'
import { createCipher, nonceOf } from './seal.js'

type Step<T> =
  | { ok: true; value: T }
  | { ok: false; why: HandshakeFailure; isTold?: boolean; triesLeft?: number | undefined }
const failed = (why: HandshakeFailure): Step<never> => ({ ok: false, why })

/**
 * Proves to a host that this peer has its link, code or session, and checks that it is the host.
 *
 * @param line carries the messages; its `receive` has a deadline
 * @example
 * const secret = { kind: 'link', key: link.key } as const
 * const result = await connectAsGuest(line, { handshake: line.handshake, local, remote }, secret)
 * if (!result.ok) return say(result.why)
 */
export async function connectAsGuest(
  line: Line,
  context: HandshakeContext,
  secret: GuestSecret,
  options: HandshakeOptions = {},
): Promise<GuestResult> {
  const result = await new GuestHandshake(line, context, secret, options).run()
  if (result.ok) return result.value
  if (!result.isTold) await refuse(line, result.why)
  const { why, triesLeft } = result
  return { ok: false, why, ...(why === 'wrong-password' && { triesLeft }) }
}

class GuestHandshake {
  readonly #transcript: Transcript
  readonly #exchange: Exchange
  /** The key that proves to have the link. Undefined for kinds without a link. */
  readonly #authKey: Bytes | undefined
  /** What says which secret of the host is meant: the first field of M1. */
  readonly #secretId: Bytes

  constructor(
    readonly line: Line,
    context: HandshakeContext,
    readonly secret: GuestSecret,
    readonly options: HandshakeOptions,
  ) {
    this.#transcript = new Transcript(secret.kind, context, 'guest')
    this.#exchange = openExchange(exchangeSecretOf(secret), 'guest', options.random ?? systemRandom)
    const link = 'key' in secret ? linkKeys(secret.key.secret) : undefined
    this.#authKey = link?.authKey
    this.#secretId = link?.id ?? (secret.kind === 'session' ? fromHex(secret.session.id) : new Uint8Array())
  }

  async run(): Promise<Step<GuestSuccess>> {
    const kind = Uint8Array.of(kindCode(this.secret.kind))
    if (!(await this.#send(message(1, kind, this.#secretId, this.#exchange.share), true)))
      return failed('broken-off')
    const schedule = await this.#receiveShare()
    if (!schedule.ok) return schedule
    const { guestConfirm } = schedule.value
    if (!(await this.#send(message(3, guestConfirm), this.secret.kind === 'link+password')))
      return failed('broken-off')
    return this.#receiveHost(schedule.value)
  }

  async #send(withoutMac: Bytes, withMac: boolean): Promise<boolean> {
    const mac = withMac && this.#authKey ? linkMac(this.#authKey, this.#transcript, withoutMac) : undefined
    const bytes = mac ? concat(withoutMac, mac) : withoutMac
    this.#transcript.add(bytes)
    return send(this.line, bytes)
  }

  async #receiveShare(): Promise<Step<Schedule>> {
    const m2 = await receive(this.line, 2)
    if (!m2.ok) return m2
    const macBytes = this.#authKey ? MAC_BYTES : 0
    const [header, theirs, mac] = fieldsOf(m2.bytes, 2, shareBytes(this.secret.kind), macBytes) ?? []
    if (!header || !theirs || !mac) return failed('malformed')
    if (this.#authKey && !isEqual(mac, linkMac(this.#authKey, this.#transcript, concat(header, theirs))))
      return failed('not-verified')
    this.#transcript.add(m2.bytes)
    const agreed = this.#exchange.agree(theirs, this.#transcript)
    return agreed ? { ok: true, value: scheduleOf(agreed, this.#transcript) } : failed('malformed')
  }

  async #receiveHost(schedule: Schedule): Promise<Step<GuestSuccess>> {
    const m4 = await receive(this.line, 4)
    if (!m4.ok) return m4
    const sealedBytes = m4.bytes.length - 2 - CONFIRM_BYTES
    const [, confirm, sealed] = (sealedBytes > 0 && fieldsOf(m4.bytes, 2, CONFIRM_BYTES, sealedBytes)) || []
    if (!confirm || !sealed) return failed('malformed')
    if (!isEqual(confirm, schedule.hostConfirm)) return failed('not-verified')
    const cipher = await createCipher(schedule.identityKey, this.options.platform)
    const opened = await cipher.decrypt(nonceOf(0), sealed)
    return opened ? this.#check(opened, schedule) : failed('not-verified')
  }

  /** Checks what the host says about itself. */
  #check(opened: Bytes, schedule: Schedule): Step<GuestSuccess> {
    const { secret } = this
    const seal = { out: schedule.guestToHost, in: schedule.hostToGuest }
    if (secret.kind === 'session')
      return {
        ok: true,
        value: { ok: true, kind: 'session', keys: { ...secret.session, seal }, payload: opened },
      }
    const rest = opened.length - PUBLIC_KEY_BYTES - SIGNATURE_BYTES
    const [hostKey, signature, payload] =
      (rest >= 0 && fieldsOf(opened, PUBLIC_KEY_BYTES, SIGNATURE_BYTES, rest)) || []
    if (!hostKey || !signature || !payload) return failed('malformed')
    const isExpected = secret.kind === 'code' || isEqual(hashOfKey(hostKey), secret.key.keyHash)
    if (!isExpected || !isSignedBy(hostKey, schedule.signed, signature)) return failed('wrong-key')
    const keys = { id: schedule.sessionId, key: schedule.sessionKey, hostKey, seal }
    return { ok: true, value: { ok: true, kind: secret.kind, keys, payload } }
  }
}

function exchangeSecretOf(secret: GuestSecret): ExchangeSecret {
  switch (secret.kind) {
    case 'link':
      return { kind: 'link', linkSecret: secret.key.secret }
    case 'link+password':
      return { kind: 'link+password', linkSecret: secret.key.secret, w: secret.password }
    case 'code':
      return { kind: 'code', w: secret.code }
    case 'session':
      return { kind: 'session', sessionKey: secret.session.key }
  }
}

import { connectAsGuest } from '../keys/guest.js'
import type { GuestResult, GuestSecret, HandshakeContext, Line, SessionKeys } from '../keys/handshake.js'
import type { LinkKey } from '../keys/link.js'
import { passwordSecret } from '../keys/password.js'

/** How the last handshake ended. */
export type Verdict = GuestResult

/** Proves this guest to its host: by the session once there is one, and before by the link. */
export class GuestProver {
  /** How the last handshake over a channel ended. Undefined: none has ended. */
  verdict: Verdict | undefined
  readonly #key: LinkKey
  readonly #password: string | undefined
  #needsPassword: boolean
  /** Whether the host said something else than the link. It may do so once, so that two sides never go in circles. */
  #hasChanged = false
  #passwordSecret: Promise<bigint> | undefined
  #session: SessionKeys | undefined

  /** `session`: a code has begun it. */
  constructor(key: LinkKey, password: string | undefined, session?: SessionKeys) {
    this.#key = key
    this.#password = password
    this.#needsPassword = key.needsPassword
    this.#session = session
  }

  /** Whether there is a session that a further channel can belong to. */
  get hasSession(): boolean {
    return this.#session !== undefined
  }

  async prove(line: Line, context: HandshakeContext): Promise<Verdict> {
    const secret = await this.#secret()
    if (secret === undefined) return { ok: false, why: 'password-needed' }
    const verdict = await connectAsGuest(line, context, secret)
    if (verdict.ok) this.#session ??= verdict.keys
    return verdict
  }

  /** The host does not know the session any more, so the link proves this guest again. False: there was none. */
  forgetSession(): boolean {
    const had = this.#session !== undefined
    this.#session = undefined
    return had
  }

  /** The host has set or removed the password since the link was made. False: this guest cannot do as the host says. */
  needPassword(isNeeded: boolean): boolean {
    if (this.#hasChanged || this.#needsPassword === isNeeded || (isNeeded && this.#password === undefined))
      return false
    this.#hasChanged = true
    this.#needsPassword = isNeeded
    return true
  }

  async #secret(): Promise<GuestSecret | undefined> {
    if (this.#session !== undefined) return { kind: 'session', session: this.#session }
    if (!this.#needsPassword) return { kind: 'link', key: this.#key }
    if (this.#password === undefined) return undefined
    this.#passwordSecret ??= passwordSecret(this.#password, this.#key.keyHash)
    return { kind: 'link+password', key: this.#key, password: await this.#passwordSecret }
  }
}

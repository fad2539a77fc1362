import type {
  GuestResult,
  GuestSecret,
  HandshakeContext,
  HandshakeFailure,
  Line,
  SessionKeys,
} from '../keys/handshake.js'
import { connectAsGuest } from '../keys/guest.js'
import type { LinkKey } from '../keys/link.js'
import { isNotLoaded, passwords } from './lazy.js'

/** How a handshake ended. */
export type Verdict =
  | GuestResult
  /** The host has said what this guest did not know. The next handshake says something else. */
  | { ok: false; why: 'again' }
  /** A part of the program is missing, so the page must be loaded anew. */
  | { ok: false; why: 'not-loaded'; detail: string }

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
  #isWrong = false
  #turn: Promise<void> = Promise.resolve()

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

  /**
   * Two handshakes may be under way, over a channel and through the server. Passwords are tried one after the other, so
   * that one wrong password costs one try.
   */
  async prove(line: Line, context: HandshakeContext): Promise<Verdict> {
    if (this.#session !== undefined || !this.#needsPassword) return this.#tryNow(line, context)
    const before = this.#turn
    let leave = (): void => undefined
    this.#turn = new Promise((resolve) => (leave = resolve))
    try {
      await before
      return this.#isWrong ? { ok: false, why: 'broken-off' } : await this.#tryNow(line, context)
    } finally {
      leave()
    }
  }

  async #tryNow(line: Line, context: HandshakeContext): Promise<Verdict> {
    try {
      return await this.#proveNow(line, context)
    } catch (error) {
      if (isNotLoaded(error)) return { ok: false, why: 'not-loaded', detail: error.message }
      throw error
    }
  }

  async #proveNow(line: Line, context: HandshakeContext): Promise<Verdict> {
    const secret = await this.#secret()
    if (secret === undefined) return { ok: false, why: 'password-needed' }
    const verdict = await connectAsGuest(line, context, secret)
    if (verdict.ok) {
      this.#session ??= verdict.keys
      return verdict
    }
    this.#isWrong ||= verdict.why === 'wrong-password'
    return this.#hasLearnt(verdict.why, secret) ? { ok: false, why: 'again' } : verdict
  }

  /** Whether the reason of a refusal says how to do better. */
  #hasLearnt(why: HandshakeFailure, secret: GuestSecret): boolean {
    if (secret.kind === 'session') {
      // The host does not know the session any more, so the link proves this guest again.
      if (why === 'not-the-session' && this.#session?.id === secret.session.id) this.#session = undefined
      return why === 'not-the-session'
    }
    if (why !== 'password-needed' && why !== 'password-not-needed') return false
    const isNeeded = why === 'password-needed'
    const hasSaidSo = secret.kind === 'link+password'
    if (hasSaidSo === isNeeded) return false
    // The other handshake has learnt it first.
    if (this.#needsPassword === isNeeded) return true
    if (this.#hasChanged || (isNeeded && this.#password === undefined)) return false
    this.#hasChanged = true
    this.#needsPassword = isNeeded
    return true
  }

  async #secret(): Promise<GuestSecret | undefined> {
    if (this.#session !== undefined) return { kind: 'session', session: this.#session }
    if (!this.#needsPassword) return { kind: 'link', key: this.#key }
    if (this.#password === undefined) return undefined
    const { passwordSecret } = await passwords()
    this.#passwordSecret ??= passwordSecret(this.#password, this.#key.keyHash)
    return { kind: 'link+password', key: this.#key, password: await this.#passwordSecret }
  }
}

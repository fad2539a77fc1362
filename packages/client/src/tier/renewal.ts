import { limits } from '@peerage/protocol'
import type { Timer } from '../lib/clock.js'
import { PeerageError, withRemedy } from '../lib/error.js'
import type { Session } from './session.js'
import type { Tokens } from './tokens.js'

// Renews the access token of a connection before it ends (protocol SPEC.md, WL10 and WL11). This module is loaded when
// a node first says that a token ends.

/** The function is asked when this share of the token's time has passed: the first of it, and a random part of the rest. */
const SHARE_FIRST = 0.7
const SHARE_RANDOM = 0.2
/** The time that is left for the renewal, where the token's time allows it. */
const LEFT_LEAST_MS = 5_000
/** The shortest wait before the function is asked, however short a time the node says. */
const WAIT_LEAST_MS = 1_000
/** The wait after a failure doubles from the shortest one up to this. */
const WAIT_MOST_MS = 60_000
/** The longest that the function may take, as before a hello [WL5]. */
const ASK_MOST_MS = 10_000
/** The longest delay that a timer of JavaScript takes [WD18]. */
const TIMER_MOST_MS = 2 ** 31 - 1

/** The renewals of one connection. */
interface Turn {
  end: AbortController
  timer: Timer | undefined
  /** Failed renewals since the last one that succeeded. */
  failures: number
}

/** Keeps the token of each connection of a session fresh, until the session is closed. */
export class Renewal {
  readonly #session: Session
  readonly #tokens: Tokens
  #turn: Turn | undefined

  constructor(session: Session, tokens: Tokens) {
    this.#session = session
    this.#tokens = tokens
    session.onWelcome(() => this.#begin(session.welcome.tokenMs))
    session.onRetry(() => this.#stop())
    session.onClosed(() => this.#stop())
    // The time for loading this module is not subtracted. If it was long, the token may end first. Then the SDK connects
    // again with a fresh one.
    if (session.connector.state.state === 'online') this.#begin(session.welcome.tokenMs)
  }

  #begin(tokenMs: number | undefined): void {
    this.#stop()
    const turn: Turn = { end: new AbortController(), timer: undefined, failures: 0 }
    this.#turn = turn
    this.#plan(turn, tokenMs)
  }

  #stop(): void {
    this.#turn?.timer?.cancel()
    this.#turn?.end.abort()
    this.#turn = undefined
  }

  #plan(turn: Turn, tokenMs: number | undefined): void {
    if (tokenMs === undefined) return
    const share = SHARE_FIRST + SHARE_RANDOM * Math.random()
    this.#renewAfter(turn, Math.min(share * tokenMs, tokenMs - LEFT_LEAST_MS))
  }

  #renewAfter(turn: Turn, ms: number): void {
    const waitMs = Math.min(TIMER_MOST_MS, Math.max(WAIT_LEAST_MS, ms))
    turn.timer = this.#session.clock.after(waitMs, () => void this.#renew(turn))
  }

  async #renew(turn: Turn): Promise<void> {
    const { signal } = turn.end
    try {
      const token = await this.#ask(turn)
      // A node would count a longer one as a malformed frame. The error does not show it, because a token must not reach a
      // log.
      if (token.length > limits.tokenLength)
        throw new TypeError(
          `what \`token\` returns must have at most ${limits.tokenLength} characters; it has ${token.length}`,
        )
      const tokenMs = await this.#send(token, signal)
      if (signal.aborted) return
      turn.failures = 0
      this.#plan(turn, tokenMs)
    } catch (error) {
      // The connection is over, and the next hello has a token of its own.
      if (signal.aborted) return
      this.#session.events.fail(error, 'token')
      const mostMs = Math.min(WAIT_MOST_MS, WAIT_LEAST_MS * 2 ** ++turn.failures)
      this.#renewAfter(turn, mostMs * (0.5 + Math.random() / 2))
    }
  }

  /** Asks the application for a token. Rejects if none comes in time, or the connection ends first. */
  #ask(turn: Turn): Promise<string> {
    return new Promise((resolve, reject) => {
      const timer = this.#session.clock.after(ASK_MOST_MS, () => {
        // The next renewal calls the function again.
        this.#tokens.renewing = undefined
        const late = `the function \`token\` returned nothing within ${ASK_MOST_MS / 1_000} s`
        reject(new PeerageError('timeout', late))
      })
      turn.timer = timer
      void this.#made()
        .then(resolve, reject)
        .finally(() => timer.cancel())
    })
  }

  /** The result of the call that is under way, or else of a new one. So the function is not called twice at once. */
  #made(): Promise<string> {
    const tokens = this.#tokens
    if (tokens.renewing !== undefined) return tokens.renewing
    const made = tokens.make()
    const settled = (): void => {
      if (tokens.renewing === made) tokens.renewing = undefined
    }
    tokens.renewing = made
    made.then(settled, settled)
    return made
  }

  /** Resolves with the time after which the new token ends, in milliseconds. Undefined: it does not end. */
  async #send(token: string, signal: AbortSignal): Promise<number | undefined> {
    const answer = await this.#session.requests.ask((id) => ({ type: 'renew', id, token }), signal)
    if (answer.ok) return answer.message.type === 'renewed' ? answer.message.tokenMs : undefined
    const { code, detail = code } = answer
    throw new PeerageError(code, `the token was not renewed: ${withRemedy(code, detail)}`)
  }
}

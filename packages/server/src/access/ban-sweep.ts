import type { AdmittedSession, Clock, Node, OnError, Timer } from '@peerage/core'
import { Semaphore, appOfSession } from '@peerage/core'
import { closeCodes, closeTextOf, nameOf } from '@peerage/protocol'
import type { AppPolicies } from '../apps/policy.js'
import type { RevocationCheck } from '../gateway/shared/claimer.js'

/** By then the node hears again what other nodes tell it, so no ban is missed in between. */
const SOON_MS = 1_000
/** The wait after a sweep that could not read the bans. */
const AGAIN_MS = 5_000
const READS_AT_ONCE = 100

export interface BanSweepOptions {
  node: Pick<Node, 'sessions' | 'disconnects'>
  apps: Pick<AppPolicies, 'of'>
  revocations: RevocationCheck
  clock: Clock
  onError: OnError
}

/**
 * Compares the peers of this node with the bans and revocations of their apps. Nodes tell each other of a ban once. A node
 * that could not hear it, because it had lost the store, finds it in the store.
 */
export class BanSweep {
  readonly #options: BanSweepOptions
  #timer: Timer | undefined
  #isStopped = false

  constructor(options: BanSweepOptions) {
    this.#options = options
  }

  /** Sweeps soon. Call it when the node may have missed something. */
  begin(): void {
    this.#after(SOON_MS)
  }

  stop(): void {
    this.#isStopped = true
    this.#timer?.cancel()
  }

  #after(ms: number): void {
    if (this.#isStopped) return
    this.#timer?.cancel()
    this.#timer = this.#options.clock.after(ms, () => {
      this.#sweep().catch((error: unknown) => this.#options.onError(error, { stage: 'bans' }))
    })
  }

  async #sweep(): Promise<void> {
    const { node, apps } = this.#options
    const sessions = [...node.sessions.allAdmitted()].filter(
      (session) => session.connection.isOpen && apps.of(appOfSession(session))?.hasApi === true,
    )
    const turns = new Semaphore(READS_AT_ONCE, sessions.length)
    let isRead = true
    const check = async (session: AdmittedSession): Promise<void> => {
      if (isRead && !this.#isStopped && !(await this.#check(session))) isRead = false
    }
    await Promise.all(sessions.map((session) => turns.run(() => check(session))))
    if (!isRead) this.#after(AGAIN_MS)
  }

  /** Returns false if the bans could not be read. */
  async #check(session: AdmittedSession): Promise<boolean> {
    const { node, revocations } = this.#options
    const { connection, holder } = session
    const named = session.state === 'online' ? { name: nameOf(session.peer) } : {}
    const answer = await revocations.check(appOfSession(session), { ...named, ...holder })
    if (answer.ok) return true
    if (answer.code === 'access-unavailable') return false
    const reason = answer.code === 'banned' ? 'disconnected' : 'token-expired'
    const now = node.sessions.get(connection.id)
    // A renewed token has been compared with the bans already.
    if ((now?.state === 'online' || now?.state === 'anonymous') && now.holder === holder)
      node.disconnects.end(now, { code: closeCodes[reason], text: closeTextOf(reason) })
    return true
  }
}

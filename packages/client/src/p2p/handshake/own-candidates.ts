import { isCandidate } from './handshake-signal.js'

/** Host candidates beyond this would crowd out those that pass a NAT. */
const HOST_CANDIDATES_MAX = 12
const CANDIDATES_MAX = 20

/** What this side found and the other may know, until it is sent. */
export class OwnCandidates {
  readonly #relayOnly: boolean
  #waiting: string[] = []
  #sent = 0

  constructor(relayOnly: boolean) {
    this.#relayOnly = relayOnly
  }

  /** Keeps a candidate that may leave; how many wait now. */
  keep(line: string): number {
    const isRelay = line.includes(' typ relay')
    const most = line.includes(' typ host') ? HOST_CANDIDATES_MAX : CANDIDATES_MAX
    const isWanted = isCandidate(line) && (isRelay || !this.#relayOnly)
    if (!isWanted || this.#sent + this.#waiting.length >= most) return 0
    // A relayed candidate names the address it was asked from (RFC 8839 §5.1), which is what relay-only hides.
    return this.#waiting.push(isRelay ? line.replace(/ raddr \S+ rport \d+/, ' raddr 0.0.0.0 rport 0') : line)
  }

  take(): string[] {
    this.#sent += this.#waiting.length
    return this.#waiting.splice(0)
  }

  /** ICE begins anew, and with it the count; what was not sent yet is of no use now. */
  restart(): void {
    this.#sent = 0
    this.#waiting = []
  }
}

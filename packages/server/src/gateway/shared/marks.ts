/** A peer that can be pinged. False: the ping was not taken. */
export interface Pinged {
  sendPing(): boolean
}

/**
 * A ping goes out after so many bytes of others. A peer that reads so much within the ping timeout (5 s) is heard in
 * time, whatever waits for it. A ping and its pong are some 10 bytes, and a read of the socket.
 */
const MARK_BYTES = 32 * 1024
/**
 * What the answers to pings tell of what others sent to a peer. What it has read is seen neither in the node's buffer nor
 * in those of the kernel and of the way there, which hold megabytes. But pongs come in order: one that answers a ping
 * says that all before the ping was read. So after every so many bytes of others a ping goes out as a mark. Made with the
 * first frame of others: an idle peer has none. The heartbeat's pings are its owner's, and older than all marks, since
 * none is sent while a mark is out.
 */
export class Marks {
  /** Without an answer; before each of them went `MARK_BYTES`. */
  #out = 0
  /** What others have sent since the last mark. */
  #unmarked = 0
  /** It was behind at the last beat, and has answered no ping since. */
  #readsNothing = false
  readonly #most: number

  /** `most` bytes of others may be on their way: in the node's buffer, in those of the kernel, and on the line. */
  constructor(most: number) {
    this.#most = most
  }

  /** So much is on its way that others shall wait. */
  get isBehind(): boolean {
    return this.#out * MARK_BYTES + this.#unmarked > this.#most
  }

  /** Whether an answer is due. */
  get isOut(): boolean {
    return this.#out > 0
  }

  /** So many bytes of others were written to the peer. */
  relayed(bytes: number, peer: Pinged): void {
    this.#unmarked += bytes
    if (this.#unmarked >= MARK_BYTES) this.#send(peer)
  }

  /** To be called once a ping interval. False: the peer is behind, and has read nothing since the last time. */
  beat(peer: Pinged): boolean {
    // One for which there was no room goes out now.
    this.#send(peer)
    if (this.isBehind && this.#readsNothing) return false
    this.#readsNothing = this.isBehind
    return true
  }

  /** A ping of the heartbeat was answered. */
  reads(): void {
    this.#readsNothing = false
  }

  /** A pong has come that answers none of the heartbeat. False: nobody asked for it. */
  answered(): boolean {
    if (this.#out === 0) return false
    this.#out--
    this.#readsNothing = false
    return true
  }

  #send(peer: Pinged): void {
    while (this.#unmarked >= MARK_BYTES && peer.sendPing()) {
      this.#unmarked -= MARK_BYTES
      this.#out++
    }
  }
}

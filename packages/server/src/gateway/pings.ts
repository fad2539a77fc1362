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
 * So much of what others send may be on its way to a peer. All that the node says to it waits behind: on a line of
 * 1 Mbit/s for 2 s. It is also what a peer can get within one round trip: 2.5 MB/s when that takes 100 ms.
 */
const UNCONFIRMED_MOST = 256 * 1024

/**
 * The pings of one connection, and what their answers tell. What a peer has read is seen neither in the node's buffer
 * nor in those of the kernel and of the way there, which hold megabytes. But pongs come in order: one that answers a
 * ping says that all before the ping was read. So after every so many bytes of others a ping goes out as a mark.
 */
export class Pings {
  /** Pings of the heartbeat without an answer. They are older than all marks: while a mark is out, none is sent. */
  #beats = 0
  /** Marks without an answer; before each of them went `MARK_BYTES`. */
  #marks = 0
  /** What others have sent since the last mark. */
  #unmarked = 0
  /** It was behind at the last beat, and has answered no ping since. */
  #readsNothing = false

  /** So much is on its way that others shall wait. */
  get isBehind(): boolean {
    return this.#marks * MARK_BYTES + this.#unmarked > UNCONFIRMED_MOST
  }

  /** So many bytes of others were written to the peer. */
  relayed(bytes: number, peer: Pinged): void {
    this.#unmarked += bytes
    if (this.#unmarked >= MARK_BYTES) this.#mark(peer)
  }

  /** To be called once a ping interval. False: the peer is behind, and has read nothing since the last time. */
  beat(peer: Pinged): boolean {
    // A mark for which there was no room goes out now.
    this.#mark(peer)
    if (this.isBehind && this.#readsNothing) return false
    this.#readsNothing = this.isBehind
    // Its answer to a mark is as good, and comes earlier.
    if (this.#marks === 0 && peer.sendPing()) this.#beats++
    return true
  }

  /** A pong has come. False: nobody asked for it. */
  answered(): boolean {
    if (this.#beats > 0) this.#beats--
    else if (this.#marks > 0) this.#marks--
    else return false
    this.#readsNothing = false
    return true
  }

  #mark(peer: Pinged): void {
    while (this.#unmarked >= MARK_BYTES && peer.sendPing()) {
      this.#unmarked -= MARK_BYTES
      this.#marks++
    }
  }
}

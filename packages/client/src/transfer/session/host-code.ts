import type { Name } from '@peerage/protocol'
import type { Clock } from '../../lib/clock.js'
import { PeerageError } from '../../lib/error.js'
import type { Peer } from '../../peer.js'
import { codeName, drawNumber, makeCode } from '../keys/code.js'
import type { SessionKeys } from '../keys/handshake.js'
import { answerAsHost } from '../keys/host.js'
import type { KeyPair } from '../keys/key-pair.js'
import { codeSecret } from '../keys/password.js'
import type { CodeState } from '../sharing.js'
import { encodeDestination } from './destination.js'
import { Entrance } from './entrance.js'
import { contextOfServer, ServerLine } from './proof-line.js'
import type { ServerLink } from './server-link.js'
import { ServerPort } from './server-port.js'

/** How many numbers are tried before the code fails. */
const NUMBERS_MAX = 8
/** So many attempts may break off before they could guess. More look like somebody who plays with the code. */
const BROKEN_MAX = 5

export interface CodeParts {
  clock: Clock
  connectAs: (name: string) => Promise<Peer>
  keyPair: KeyPair
  /** Where the guest goes on: the name of the host, and the fragment of the link. */
  destination: () => { name: Name; fragment: string }
  onGuest: (guest: Name, keys: SessionKeys) => void
  onState: (state: CodeState) => void
}

/** One code: a second name of the host, at which one guest may prove that it knows the words. */
export class HostCode {
  readonly #parts: CodeParts
  readonly #entrance: Entrance
  #peer: Peer | undefined
  #port: ServerPort | undefined
  #secret: bigint | undefined
  #isBusy = false
  #broken = 0
  /** Links whose last message is still on its way. */
  readonly #closing = new Set<Promise<void>>()
  #isOver = false

  constructor(parts: CodeParts) {
    this.#parts = parts
    this.#entrance = new Entrance(parts.clock)
  }

  /** Connects under a free number, and shows the code. Never rejects. */
  async begin(): Promise<void> {
    try {
      const { words } = await import('../keys/words.js')
      const { peer, number } = await this.#connect()
      const code = makeCode(number, words)
      this.#peer = peer
      this.#secret = await codeSecret(code.text)
      if (this.#isOver) return this.#leave()
      this.#port = new ServerPort(peer, this.#parts.clock, (from, open) => this.#arrived(from, open))
      peer.on('state', ({ state }) => {
        if (state === 'closed') this.#end({ name: 'failed', detail: 'the connection of the code was closed' })
      })
      this.#parts.onState({ name: 'ready', code: code.text })
    } catch (error) {
      this.#end({ name: 'failed', detail: messageOf(error) })
    }
  }

  /** Voids the code. */
  close(): void {
    this.#isOver = true
    this.#leave()
  }

  async #connect(): Promise<{ peer: Peer; number: number }> {
    for (let attempt = 0; ; attempt++) {
      const number = drawNumber(attempt)
      try {
        return { peer: await this.#parts.connectAs(codeName(number)), number }
      } catch (error) {
        const isTaken = error instanceof PeerageError && error.code === 'name-taken'
        if (!isTaken || attempt >= NUMBERS_MAX || this.#isOver) throw error
      }
    }
  }

  /** One guest at a time. The others wait, and cost nothing. */
  #arrived(from: Name, open: () => ServerLink): boolean {
    const leave = this.#isBusy || this.#isOver ? undefined : this.#entrance.enter(from)
    if (leave === undefined) return false
    this.#isBusy = true
    void this.#serve(open(), from)
      .catch((error: unknown) => this.#end({ name: 'failed', detail: messageOf(error) }))
      .finally(() => {
        leave()
        this.#isBusy = false
      })
    return true
  }

  async #serve(link: ServerLink, guest: Name): Promise<void> {
    const { clock, keyPair, destination, onGuest } = this.#parts
    const line = new ServerLine(link, clock)
    const result = await answerAsHost(line, contextOfServer(this.#peer?.name ?? '', link), {
      keyPair,
      code: this.#secret,
      payload: () => encodeDestination(destination()),
    })
    line.close()
    this.#closeLater(link)
    if (this.#isOver) return
    if (result.ok) {
      onGuest(guest, result.keys)
      return this.#end({ name: 'used' })
    }
    if (result.isGuess || ++this.#broken >= BROKEN_MAX) this.#end({ name: 'burnt' })
  }

  #end(state: CodeState): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#parts.onState(state)
    void Promise.all(this.#closing).then(() => this.#leave())
  }

  #closeLater(link: ServerLink): void {
    const closed = link.flushed().then(() => link.close('the handshake is over'))
    this.#closing.add(closed)
    void closed.then(() => this.#closing.delete(closed))
  }

  #leave(): void {
    this.#port?.close('the code is over')
    // Never rejects.
    void this.#peer?.leave()
    this.#peer = undefined
  }
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))

import type { Name } from '@peerage/protocol'
import { parseName } from '@peerage/protocol'
import type { Clock } from '../../lib/clock.js'
import { PeerageError } from '../../lib/error.js'
import type { Peer } from '../../peer.js'
import { codeName, drawNumber, makeCode } from '../keys/code.js'
import type { SessionKeys } from '../keys/handshake.js'
import { answerAsHost } from '../keys/host.js'
import type { KeyPair } from '../keys/key-pair.js'
import { refuse } from '../keys/messages.js'
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
      this.#port = new ServerPort(peer, this.#parts.clock, (_from, open) => {
        if (this.#isBusy || this.#isOver) return false
        void this.#arrived(open())
        return true
      })
      peer.on('state', ({ state }) => {
        if (state === 'closed') this.#end({ name: 'failed', detail: 'the connection of the code was closed' })
      })
      this.#parts.onState({ name: 'ready', code: code.text })
    } catch (error) {
      this.#end({ name: 'failed', detail: error instanceof Error ? error.message : String(error) })
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

  async #arrived(link: ServerLink): Promise<void> {
    const { clock, keyPair, destination, onGuest } = this.#parts
    const guest = parseName(link.to)
    const leave = this.#entrance.enter(link.to)
    const line = new ServerLine(link, clock)
    if (this.#secret === undefined || !guest.ok || leave === undefined) {
      await refuse(line, 'busy')
      return this.#closeLater(link)
    }
    this.#isBusy = true
    const own = this.#peer?.name ?? ''
    const result = await answerAsHost(line, contextOfServer(own, link), {
      keyPair,
      code: this.#secret,
      payload: () => encodeDestination(destination()),
    }).finally(leave)
    this.#isBusy = false
    line.close()
    this.#closeLater(link)
    if (this.#isOver) return
    if (result.ok) {
      onGuest(guest.value, result.keys)
      return this.#end({ name: 'used' })
    }
    if (result.isGuess || ++this.#broken >= BROKEN_MAX) this.#end({ name: 'burnt' })
  }

  #end(state: CodeState): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#parts.onState(state)
    // The last message is still on its way.
    void (this.#links.size === 0 ? Promise.resolve() : Promise.all(this.#links)).then(() => this.#leave())
  }

  readonly #links = new Set<Promise<void>>()

  #closeLater(link: ServerLink): void {
    const closed = link.flushed().then(() => link.close('the handshake is over'))
    this.#links.add(closed)
    void closed.then(() => this.#links.delete(closed))
  }

  #leave(): void {
    this.#port?.close('the code is over')
    // Never rejects.
    void this.#peer?.leave()
    this.#peer = undefined
  }
}

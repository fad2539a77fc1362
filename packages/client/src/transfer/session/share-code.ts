import type { Peer } from '../../peer.js'
import type { CodeState } from '../sharing.js'
import type { CodeParts, HostCode } from './host-code.js'
import { hostCodes } from './lazy.js'

interface ShareCodeParts extends Pick<CodeParts, 'clock' | 'keyPair' | 'destination' | 'onGuest'> {
  changed: () => void
}

/** The code of a share: one at a time. */
export class ShareCode {
  readonly #parts: ShareCodeParts
  #state: CodeState = { name: 'none' }
  #code: HostCode | undefined

  constructor(parts: ShareCodeParts) {
    this.#parts = parts
  }

  get state(): CodeState {
    return this.#state
  }

  /** Makes a new code, and voids the one before. `connectAs`: undefined if there can be none. */
  make(connectAs: ((name: string) => Promise<Peer>) | undefined): void {
    this.#code?.close()
    this.#code = undefined
    if (connectAs === undefined) return this.#set({ name: 'failed', detail: 'no code can be made here' })
    const making: CodeState = { name: 'making' }
    this.#set(making)
    void this.#make(making, connectAs).catch((error: unknown) => {
      if (this.#state !== making) return
      this.#set({ name: 'failed', detail: error instanceof Error ? error.message : String(error) })
    })
  }

  /** Voids the code. */
  drop(): void {
    this.#code?.close()
    this.#code = undefined
    this.#set({ name: 'none' })
  }

  async #make(making: CodeState, connectAs: (name: string) => Promise<Peer>): Promise<void> {
    const { HostCode } = await hostCodes()
    // Another code was asked for, or none any more.
    if (this.#state !== making) return
    const { changed: _changed, ...parts } = this.#parts
    const code: HostCode = new HostCode({
      ...parts,
      connectAs,
      onState: (state) => {
        if (this.#code === code) this.#set(state)
      },
    })
    this.#code = code
    await code.begin()
  }

  #set(state: CodeState): void {
    this.#state = state
    this.#parts.changed()
  }
}

import type { ShareHost } from '@peerage/client/transfer'
import { Delivered } from './delivered.js'
import { HostTexts } from './host-texts.js'
import type { Connection, TabMemory } from './world.js'

const SAVED = 'peerage-share-host'
const SAVE_DELAY_MS = 300

/** What this page shares by its own link. It is kept over a reload. */
export class OwnShare {
  readonly texts: HostTexts
  readonly delivered = new Delivered()
  readonly #memory: TabMemory
  readonly #onChange: () => void
  #host: ShareHost | undefined
  #saving: ReturnType<typeof setTimeout> | undefined

  constructor(memory: TabMemory, onChange: () => void) {
    this.texts = new HostTexts(memory)
    this.#memory = memory
    this.#onChange = onChange
  }

  /** Undefined until it is opened. */
  get host(): ShareHost | undefined {
    return this.#host
  }

  /** Whether there is one from before a reload. */
  get isKept(): boolean {
    return this.#memory.get(SAVED) !== undefined
  }

  /** Opens the share of before, or one with a new link if that was stopped. */
  open(connection: Connection): ShareHost {
    const before = this.#host
    if (before !== undefined && before.state.name !== 'stopped') return before
    if (before !== undefined) {
      this.#memory.remove(SAVED)
      this.texts.clear()
    }
    const host = connection.host(before === undefined ? { saved: this.#memory.get(SAVED) } : {})
    this.#host = host
    host.onChange(() => this.#changed(host))
    this.delivered.watch(host)
    this.texts.sendTo(host)
    this.#save(host)
    return host
  }

  /** A share for one person that was taken lets one more person in. Its link and its sessions stay. */
  shareAgain(): void {
    this.#host?.setOneTime(false)
    this.#host?.setOneTime(true)
  }

  addText(text: string): void {
    this.texts.add(text)
    if (this.#host) this.texts.sendTo(this.#host)
    this.#onChange()
  }

  removeText(id: number): void {
    this.texts.remove(id)
    this.#onChange()
  }

  stop(): void {
    clearTimeout(this.#saving)
  }

  #changed(host: ShareHost): void {
    if (host !== this.#host) return
    this.delivered.watch(host)
    this.texts.sendTo(host)
    // Many changes come at once, such as when a folder is added.
    this.#saving ??= setTimeout(() => this.#save(host), SAVE_DELAY_MS)
    this.#onChange()
  }

  #save(host: ShareHost): void {
    clearTimeout(this.#saving)
    this.#saving = undefined
    if (host.state.name === 'stopped') this.#memory.remove(SAVED)
    else this.#memory.set(SAVED, host.save())
  }
}

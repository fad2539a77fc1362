import type { ShareHost, ShareSession } from '@peerage/client/transfer'
import type { TabMemory } from './world.js'

/** A text for everyone who opens the link. */
export interface HostText {
  id: number
  text: string
}

const KEY = 'peerage-share-texts'
/** Texts are kept in the memory of the tab, which has about 5 MB. */
const TEXTS_MAX = 50

/** The texts that each guest gets once. */
export class HostTexts {
  readonly #memory: TabMemory
  #all: readonly HostText[]
  /** A number is used once, also after its text was removed. */
  #lastId: number
  /**
   * The number of the last text of each session. A guest that reloads its page has lost the texts, and has a new session.
   */
  readonly #sent = new WeakMap<ShareSession, number>()

  constructor(memory: TabMemory) {
    this.#memory = memory
    this.#all = readKept(memory.get(KEY))
    this.#lastId = Math.max(0, ...this.#all.map(({ id }) => id))
  }

  get all(): readonly HostText[] {
    return this.#all
  }

  add(text: string): void {
    const id = ++this.#lastId
    this.#put([...this.#all, { id, text }].slice(-TEXTS_MAX))
  }

  remove(id: number): void {
    this.#put(this.#all.filter((one) => one.id !== id))
  }

  clear(): void {
    this.#put([])
  }

  /** Sends each guest the texts that its session has not got yet. They wait there until the guest is connected. */
  sendTo(host: ShareHost): void {
    for (const session of host.sessions) {
      if (session.state.name === 'ended') continue
      const last = this.#sent.get(session) ?? 0
      for (const { id, text } of this.#all) {
        if (id <= last) continue
        session.transfer.sendText(text)
        this.#sent.set(session, id)
      }
    }
  }

  #put(texts: readonly HostText[]): void {
    this.#all = texts
    this.#memory.set(KEY, JSON.stringify(texts))
  }
}

function readKept(text: string | undefined): HostText[] {
  if (text === undefined) return []
  try {
    const input: unknown = JSON.parse(text)
    return Array.isArray(input) ? input.filter(isHostText) : []
  } catch {
    return []
  }
}

function isHostText(input: unknown): input is HostText {
  if (typeof input !== 'object' || input === null || !('id' in input) || !('text' in input)) return false
  return Number.isSafeInteger(input.id) && typeof input.text === 'string'
}

import type { ShareHost } from '@peerage/client/transfer'
import type { TabMemory } from './world.js'

/** A text for everyone who opens the link. */
export interface HostText {
  id: number
  text: string
}

interface Kept {
  texts: readonly HostText[]
  /** For each guest, the number of the last text that it got. */
  sent: Readonly<Record<string, number>>
}

const KEY = 'peerage-share-texts'
/** Texts are kept in the memory of the tab, which has about 5 MB. */
const TEXTS_MAX = 50

/** The texts that each guest gets once, when it has connected. */
export class HostTexts {
  readonly #memory: TabMemory
  #kept: Kept

  constructor(memory: TabMemory) {
    this.#memory = memory
    this.#kept = readKept(memory.get(KEY))
  }

  get all(): readonly HostText[] {
    return this.#kept.texts
  }

  add(text: string): void {
    const id = 1 + Math.max(0, ...this.#kept.texts.map((one) => one.id), ...Object.values(this.#kept.sent))
    this.#put({ texts: [...this.#kept.texts, { id, text }].slice(-TEXTS_MAX) })
  }

  remove(id: number): void {
    this.#put({ texts: this.#kept.texts.filter((one) => one.id !== id) })
  }

  clear(): void {
    this.#put({ texts: [], sent: {} })
  }

  /** Sends each connected guest the texts that it has not got yet. */
  sendTo(host: ShareHost): void {
    for (const { state, peer, transfer } of host.sessions) {
      if (state.name !== 'open') continue
      const last = this.#kept.sent[peer.name] ?? 0
      const fresh = this.#kept.texts.filter(({ id }) => id > last)
      for (const { text } of fresh) transfer.sendText(text)
      const newest = fresh.at(-1)
      if (newest !== undefined) this.#put({ sent: { ...this.#kept.sent, [peer.name]: newest.id } })
    }
  }

  #put(change: Partial<Kept>): void {
    this.#kept = { ...this.#kept, ...change }
    this.#memory.set(KEY, JSON.stringify(this.#kept))
  }
}

function readKept(text: string | undefined): Kept {
  const nothing: Kept = { texts: [], sent: {} }
  if (text === undefined) return nothing
  let input: unknown
  try {
    input = JSON.parse(text)
  } catch {
    return nothing
  }
  if (typeof input !== 'object' || input === null || !('texts' in input) || !('sent' in input)) return nothing
  const texts = Array.isArray(input.texts) ? input.texts.filter(isHostText) : []
  const sent = Object.entries(input.sent ?? {}).filter((one): one is [string, number] =>
    Number.isSafeInteger(one[1]),
  )
  return { texts, sent: Object.fromEntries(sent) }
}

function isHostText(input: unknown): input is HostText {
  if (typeof input !== 'object' || input === null || !('id' in input) || !('text' in input)) return false
  return Number.isSafeInteger(input.id) && typeof input.text === 'string'
}

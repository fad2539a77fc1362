import { readNote, writeNote } from './note.js'

/** What an exchange needs of a channel. */
export interface Conduit {
  send(data: string | Uint8Array<ArrayBuffer>): Promise<void>
  on(event: 'message', listener: (data: string | Uint8Array<ArrayBuffer>) => void): () => void
}

/** One entry of a conversation, as the page shows it. */
export type Item = { id: number; mine: boolean } & (
  | { kind: 'text'; text: string }
  | { kind: 'file'; name: string; size: number; moved: number; end: FileEnd | undefined }
)
/** How a file's way ended. The digest is lower-case hex, or undefined where the browser offers none. */
export type FileEnd =
  | { state: 'complete'; sha256: string | undefined; content: Blob | undefined }
  | { state: 'broken'; why: string }

type FileItem = Item & { kind: 'file' }

interface Arrival {
  item: FileItem
  parts: BlobPart[]
  /** Parts since the last time they were put together: a large Blob may live on disk, many small parts do not. */
  loose: number
}

/** Well below the 256 KiB that a data channel's message may have everywhere. */
const CHUNK_BYTES = 64 * 1024
/** Read from disk at once, then sent in chunks. */
const SLICE_BYTES = 1024 * 1024
const LOOSE_PARTS_MAX = 256

/** Messages and files over one channel: both sides speak, files follow one another. */
export class Exchange {
  readonly #conduit: Conduit
  readonly #onChange: (items: readonly Item[]) => void
  readonly #stop: () => void
  #items: readonly Item[]
  #nextId: number
  #arrival: Arrival | undefined
  /** Files leave one after the other, so that chunks need no name. */
  #leaving: Promise<void> = Promise.resolve()

  /** `items` are those of the channel before, which stay. */
  constructor(conduit: Conduit, items: readonly Item[], onChange: (items: readonly Item[]) => void) {
    this.#items = items
    this.#nextId = items.length + 1
    this.#conduit = conduit
    this.#onChange = onChange
    this.#stop = conduit.on('message', (data) => {
      if (typeof data === 'string') this.#takeNote(data)
      else this.#takeChunk(data)
    })
  }

  async sendText(text: string): Promise<void> {
    await this.#conduit.send(writeNote({ type: 'text', text }))
    this.#add({ id: this.#nextId++, mine: true, kind: 'text', text })
  }

  /** Resolves when the file has left or broken off; its item says which. */
  sendFile(file: File): Promise<void> {
    const { name, size } = file
    const item: FileItem = {
      id: this.#nextId++,
      mine: true,
      kind: 'file',
      name,
      size,
      moved: 0,
      end: undefined,
    }
    this.#add(item)
    this.#leaving = this.#leaving.then(() => this.#send(item, file))
    return this.#leaving
  }

  /** The channel is gone: what was under way has broken off. */
  close(why: string): void {
    this.#stop()
    this.#arrival = undefined
    for (const item of this.#items)
      if (item.kind === 'file' && item.end === undefined)
        this.#change(item.id, { end: { state: 'broken', why } })
  }

  async #send({ id }: FileItem, file: File): Promise<void> {
    try {
      await this.#conduit.send(writeNote({ type: 'file', name: file.name, size: file.size, mime: file.type }))
      for (let at = 0; at < file.size; at += SLICE_BYTES) {
        const slice = new Uint8Array(await file.slice(at, at + SLICE_BYTES).arrayBuffer())
        for (let from = 0; from < slice.length; from += CHUNK_BYTES)
          await this.#conduit.send(slice.subarray(from, from + CHUNK_BYTES))
        this.#change(id, { moved: Math.min(at + SLICE_BYTES, file.size) })
      }
      const sha256 = await digest(file)
      await this.#conduit.send(writeNote({ type: 'end', sha256 }))
      this.#change(id, { end: { state: 'complete', sha256, content: undefined } })
    } catch (error) {
      this.#change(id, {
        end: { state: 'broken', why: error instanceof Error ? error.message : String(error) },
      })
    }
  }

  #takeNote(text: string): void {
    const note = readNote(text)
    const arrival = this.#arrival
    if (note?.type === 'text')
      return this.#add({ id: this.#nextId++, mine: false, kind: 'text', text: note.text })
    if (note?.type === 'file' && !arrival) {
      const { name, size } = note
      const item: FileItem = {
        id: this.#nextId++,
        mine: false,
        kind: 'file',
        name,
        size,
        moved: 0,
        end: undefined,
      }
      this.#arrival = { item, parts: [], loose: 0 }
      return this.#add(item)
    }
    if (note?.type !== 'end' || !arrival) return this.#breakOff('the other side sent something unexpected')
    this.#arrival = undefined
    void this.#complete(arrival, note.sha256)
  }

  #takeChunk(chunk: Uint8Array<ArrayBuffer>): void {
    const arrival = this.#arrival
    if (!arrival) return
    const { item, parts } = arrival
    const moved = item.moved + chunk.length
    if (moved > item.size) return this.#breakOff('it was longer than announced')
    parts.push(chunk)
    if (++arrival.loose >= LOOSE_PARTS_MAX) {
      parts.splice(0, parts.length, new Blob(parts))
      arrival.loose = 0
    }
    arrival.item = { ...item, moved }
    // Often enough for a progress bar, not for every chunk of a large file.
    const step = Math.max(SLICE_BYTES, item.size / 200)
    if (Math.floor(moved / step) !== Math.floor(item.moved / step) || moved === item.size)
      this.#change(item.id, { moved })
  }

  async #complete({ item, parts }: Arrival, announced: string | undefined): Promise<void> {
    const content = new Blob(parts)
    const sha256 = await digest(content)
    const isShort = content.size !== item.size
    const differs = sha256 !== undefined && announced !== undefined && sha256 !== announced
    const why = isShort ? 'it was shorter than announced' : 'its SHA-256 differs from the original'
    this.#change(item.id, {
      end: isShort || differs ? { state: 'broken', why } : { state: 'complete', sha256, content },
    })
  }

  #breakOff(why: string): void {
    const arrival = this.#arrival
    this.#arrival = undefined
    if (arrival) this.#change(arrival.item.id, { end: { state: 'broken', why } })
  }

  #add(item: Item): void {
    this.#items = [...this.#items, item]
    this.#onChange(this.#items)
  }

  #change(id: number, change: Partial<Pick<FileItem, 'moved' | 'end'>>): void {
    this.#items = this.#items.map((item) =>
      item.id === id && item.kind === 'file' ? { ...item, ...change } : item,
    )
    this.#onChange(this.#items)
  }
}

/** SHA-256 in hex. WebCrypto exists only on https: and localhost; undefined elsewhere. */
async function digest(content: Blob): Promise<string | undefined> {
  const subtle: SubtleCrypto | undefined = globalThis.crypto.subtle
  if (subtle === undefined) return undefined
  const bytes = new Uint8Array(await subtle.digest('SHA-256', await content.arrayBuffer()))
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
}

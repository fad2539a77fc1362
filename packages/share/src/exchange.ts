import { Arrival, digest, textOf } from './arrival.js'
import type { Note } from './note.js'
import { readNote, writeNote } from './note.js'

/** The part of a channel that an exchange uses. */
export interface Conduit {
  send(data: string | Uint8Array<ArrayBuffer>): Promise<void>
  on(event: 'message', listener: (data: string | Uint8Array<ArrayBuffer>) => void): () => void
}

/** One entry of a conversation on the page. */
export type Item = { id: number; mine: boolean } & (
  | { kind: 'text'; text: string }
  | { kind: 'file'; name: string; size: number; moved: number; end: FileEnd | undefined }
)
/**
 * How the transfer of a file ended. `complete` means that the recipient has the whole file and has checked it. The
 * digest is in lower-case hex. It is undefined if the browser cannot compute it.
 */
export type FileEnd =
  | { state: 'complete'; sha256: string | undefined; content: Blob | undefined }
  | { state: 'failed'; why: string }

type FileItem = Item & { kind: 'file' }

/** Well below 256 KiB, the largest message that all browsers accept on a data channel. */
const CHUNK_BYTES = 64 * 1024
/** How much of a file is read at once. It is then sent in chunks. */
const SLICE_BYTES = 1024 * 1024

/** Exchanges messages and files over one channel, in both directions. Each side sends one file after the other. */
export class Exchange {
  readonly #conduit: Conduit
  readonly #onChange: (items: readonly Item[]) => void
  readonly #stop: () => void
  #items: readonly Item[]
  #nextId: number
  #arrival: Arrival | undefined
  /** Files are sent one after the other, so that chunks need no file number. */
  #sending: Promise<void> = Promise.resolve()
  /** Files that were sent, with their digests, but are neither confirmed nor refused yet. */
  readonly #unconfirmed = new Map<number, string | undefined>()
  #closed = false

  /** `items` are those of the previous channel. They are kept. */
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

  /**
   * Resolves when the file was sent or has failed. Its item shows the result, once the other side has confirmed or
   * refused it.
   */
  sendFile(file: File): Promise<void> {
    const item = this.#addFile(true, file.name, file.size)
    this.#sending = this.#sending.then(() => this.#send(item, file))
    return this.#sending
  }

  /** Ends the exchange, because the channel is closed. Files that are under way or not confirmed have failed. */
  close(why: string): void {
    this.#stop()
    this.#arrival = undefined
    this.#unconfirmed.clear()
    for (const item of this.#items) this.#end(item.id, { state: 'failed', why })
    this.#closed = true
  }

  async #send({ id }: FileItem, file: File): Promise<void> {
    if (this.#isOver(id)) return
    try {
      await this.#tell({ type: 'file', id, name: file.name, size: file.size, mime: file.type })
      for (let at = 0; at < file.size; at += SLICE_BYTES) {
        const slice = await readSlice(file, at)
        for (let from = 0; from < slice.length; from += CHUNK_BYTES) {
          await this.#conduit.send(slice.subarray(from, from + CHUNK_BYTES))
          // The other side may have refused the file meanwhile.
          if (this.#isOver(id)) return
        }
        this.#change(id, { moved: at + slice.length })
      }
      const sha256 = await digestOf(file)
      this.#unconfirmed.set(id, sha256)
      await this.#tell({ type: 'end', id, sha256 })
    } catch (error) {
      const why = textOf(error)
      this.#unconfirmed.delete(id)
      if (this.#isOver(id)) return
      this.#end(id, { state: 'failed', why })
      this.#tellIfOpen({ type: 'abort', id, why })
    }
  }

  #takeNote(text: string): void {
    const note = readNote(text)
    switch (note?.type) {
      case 'text':
        return this.#add({ id: this.#nextId++, mine: false, kind: 'text', text: note.text })
      case 'file':
        this.#refuse('the sender began another file before the end of this one')
        this.#arrival = new Arrival(note.id, this.#addFile(false, note.name, note.size).id, note.size)
        return
      case 'end': {
        const arrival = this.#arrivalOf(note.id)
        if (arrival) void this.#complete(arrival, note.sha256)
        return
      }
      case 'abort': {
        const arrival = this.#arrivalOf(note.id)
        if (arrival) this.#end(arrival.itemId, { state: 'failed', why: note.why })
        return
      }
      case 'received':
        if (!this.#unconfirmed.has(note.id)) return
        return this.#end(note.id, {
          state: 'complete',
          sha256: this.#unconfirmed.get(note.id),
          content: undefined,
        })
      case 'refused':
        if (this.#items.some(({ id, mine }) => mine && id === note.id))
          this.#end(note.id, { state: 'failed', why: note.why })
        return
      case undefined:
        return this.#refuse('the other browser sent an unexpected message')
    }
  }

  /** Chunks of a refused file have no arrival, and are dropped. */
  #takeChunk(chunk: Uint8Array<ArrayBuffer>): void {
    const arrival = this.#arrival
    if (!arrival) return
    const before = arrival.moved
    if (!arrival.take(chunk)) return this.#refuse('the file was longer than announced')
    // Update often enough for a progress bar, but not for every chunk of a large file.
    const { moved, size, itemId } = arrival
    const step = Math.max(SLICE_BYTES, size / 200)
    if (Math.floor(moved / step) !== Math.floor(before / step) || moved === size)
      this.#change(itemId, { moved })
  }

  /** The current arrival if it has this id. It is no longer the current one afterwards. */
  #arrivalOf(id: number): Arrival | undefined {
    const arrival = this.#arrival
    if (arrival?.id !== id) return undefined
    this.#arrival = undefined
    return arrival
  }

  async #complete(arrival: Arrival, announced: string | undefined): Promise<void> {
    const { id, itemId } = arrival
    const checked = await arrival.check(announced)
    if (this.#isOver(itemId)) return
    if (checked.ok) {
      const { content, sha256 } = checked
      this.#end(itemId, { state: 'complete', sha256, content })
      this.#tellIfOpen({ type: 'received', id })
    } else {
      this.#end(itemId, { state: 'failed', why: checked.why })
      this.#tellIfOpen({ type: 'refused', id, why: checked.why })
    }
  }

  /** Refuses the file that is being received, if there is one. */
  #refuse(why: string): void {
    const arrival = this.#arrival
    this.#arrival = undefined
    if (!arrival) return
    this.#end(arrival.itemId, { state: 'failed', why })
    this.#tellIfOpen({ type: 'refused', id: arrival.id, why })
  }

  #tell(note: Note): Promise<void> {
    return this.#conduit.send(writeNote(note))
  }

  #tellIfOpen(note: Note): void {
    // This fails only if the channel is closed, which both sides notice anyway.
    if (!this.#closed) this.#tell(note).catch(() => {})
  }

  #addFile(mine: boolean, name: string, size: number): FileItem {
    const item: FileItem = { id: this.#nextId++, mine, kind: 'file', name, size, moved: 0, end: undefined }
    this.#add(item)
    return item
  }

  #add(item: Item): void {
    if (this.#closed) return
    this.#items = [...this.#items, item]
    this.#onChange(this.#items)
  }

  #isOver(id: number): boolean {
    return this.#items.some((item) => item.id === id && item.kind === 'file' && item.end !== undefined)
  }

  /** Only the first end of a file counts. */
  #end(id: number, end: FileEnd): void {
    this.#unconfirmed.delete(id)
    if (!this.#isOver(id)) this.#change(id, { end })
  }

  #change(id: number, change: Partial<Pick<FileItem, 'moved' | 'end'>>): void {
    if (this.#closed || !this.#items.some((item) => item.id === id && item.kind === 'file')) return
    this.#items = this.#items.map((item) =>
      item.id === id && item.kind === 'file' ? { ...item, ...change } : item,
    )
    this.#onChange(this.#items)
  }
}

/** Reads the next bytes of a file. Also rejects if the file has become shorter since it was chosen. */
async function readSlice(file: File, at: number): Promise<Uint8Array<ArrayBuffer>> {
  const end = Math.min(at + SLICE_BYTES, file.size)
  const read = await file
    .slice(at, end)
    .arrayBuffer()
    .catch((error: unknown) => Promise.reject(unreadable(error)))
  if (read.byteLength !== end - at) throw unreadable('the file has become shorter')
  return new Uint8Array(read)
}

async function digestOf(file: File): Promise<string | undefined> {
  try {
    return await digest(file)
  } catch (cause) {
    const why =
      'the SHA-256 of the file could not be computed; was the file changed, or is it too large for this browser?'
    throw new Error(why, { cause })
  }
}

/** Replaces the browser's own text, which misleads because it is about permissions. */
function unreadable(cause: unknown): Error {
  return new Error('the file could not be read to its end; was it changed, moved or removed?', { cause })
}

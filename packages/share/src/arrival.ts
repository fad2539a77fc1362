/** How many chunks are kept before they are joined to one Blob. */
const LOOSE_CHUNKS_MAX = 256

/** The result of checking a received file. */
export type Checked =
  | { ok: true; content: Blob; sha256: string | undefined }
  /** `why` is a text for the people on both sides. */
  | { ok: false; why: string }

/** A file that is being received, with its content so far. */
export class Arrival {
  /** The sender's number for the file. */
  readonly id: number
  /** The id of its item on this page. */
  readonly itemId: number
  readonly size: number
  moved = 0
  readonly #chunks: BlobPart[] = []
  /** Chunks since the last join. A browser can keep a large Blob on disk, but not many small chunks. */
  #loose = 0

  constructor(id: number, itemId: number, size: number) {
    this.id = id
    this.itemId = itemId
    this.size = size
  }

  /** Returns false if the file is longer than announced. */
  take(chunk: Uint8Array<ArrayBuffer>): boolean {
    if (this.moved + chunk.length > this.size) return false
    this.moved += chunk.length
    this.#chunks.push(chunk)
    if (++this.#loose >= LOOSE_CHUNKS_MAX) {
      this.#chunks.splice(0, this.#chunks.length, new Blob(this.#chunks))
      this.#loose = 0
    }
    return true
  }

  /** Whether the content is what the sender read. Never rejects. */
  async check(announced: string | undefined): Promise<Checked> {
    if (this.moved !== this.size) return { ok: false, why: 'the file was shorter than announced' }
    const content = new Blob(this.#chunks)
    try {
      const sha256 = await digest(content)
      if (sha256 !== undefined && announced !== undefined && sha256 !== announced)
        return { ok: false, why: 'the SHA-256 of the received file differs from the original' }
      return { ok: true, content, sha256 }
    } catch (error) {
      // For example, the file does not fit into memory.
      return { ok: false, why: `the file could not be checked: ${textOf(error)}` }
    }
  }
}

/** The SHA-256 in lower-case hex. Undefined if there is no WebCrypto, which exists only on https: and localhost. */
export async function digest(content: Blob): Promise<string | undefined> {
  const subtle: SubtleCrypto | undefined = globalThis.crypto.subtle
  if (subtle === undefined) return undefined
  const bytes = new Uint8Array(await subtle.digest('SHA-256', await content.arrayBuffer()))
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
}

export function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

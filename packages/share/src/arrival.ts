const LOOSE_PARTS_MAX = 256

/** What came of a file when its sender said that this was all of it. */
export type Checked =
  | { ok: true; content: Blob; sha256: string | undefined }
  /** In words for both sides. */
  | { ok: false; why: string }

/** One file on its way here: its content so far. */
export class Arrival {
  /** Its number at its sender. */
  readonly id: number
  /** Its item here. */
  readonly itemId: number
  readonly size: number
  moved = 0
  readonly #parts: BlobPart[] = []
  /** Parts since the last time they were put together: a large Blob may live on disk, many small parts do not. */
  #loose = 0

  constructor(id: number, itemId: number, size: number) {
    this.id = id
    this.itemId = itemId
    this.size = size
  }

  /** False: it is longer than announced. */
  take(chunk: Uint8Array<ArrayBuffer>): boolean {
    if (this.moved + chunk.length > this.size) return false
    this.moved += chunk.length
    this.#parts.push(chunk)
    if (++this.#loose >= LOOSE_PARTS_MAX) {
      this.#parts.splice(0, this.#parts.length, new Blob(this.#parts))
      this.#loose = 0
    }
    return true
  }

  /** Whether it is what its sender read. Never rejects. */
  async check(announced: string | undefined): Promise<Checked> {
    if (this.moved !== this.size) return { ok: false, why: 'it was shorter than announced' }
    const content = new Blob(this.#parts)
    try {
      const sha256 = await digest(content)
      if (sha256 !== undefined && announced !== undefined && sha256 !== announced)
        return { ok: false, why: 'its SHA-256 differs from the original' }
      return { ok: true, content, sha256 }
    } catch (error) {
      // Such as a file that is too large to be in memory at once.
      return { ok: false, why: `it could not be checked: ${textOf(error)}` }
    }
  }
}

/** SHA-256 in hex. WebCrypto exists only on https: and localhost; undefined elsewhere. */
export async function digest(content: Blob): Promise<string | undefined> {
  const subtle: SubtleCrypto | undefined = globalThis.crypto.subtle
  if (subtle === undefined) return undefined
  const bytes = new Uint8Array(await subtle.digest('SHA-256', await content.arrayBuffer()))
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
}

export function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

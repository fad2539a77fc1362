import { sha256 as noble } from '@noble/hashes/sha2.js'
import { HASH_BYTES } from '../hash.js'

/** The hashes are kept in pages of this many, so that memory is used only for blocks that are there. */
const PAGE_BLOCKS = 4_096

/** The hashes of the blocks of one file. */
export class HashList {
  readonly #blocks: number
  readonly #pages = new Map<number, Uint8Array<ArrayBuffer>>()

  constructor(blocks: number) {
    this.#blocks = blocks
  }

  set(block: number, hash: Uint8Array): void {
    const number = Math.floor(block / PAGE_BLOCKS)
    let page = this.#pages.get(number)
    if (page === undefined) this.#pages.set(number, (page = new Uint8Array(this.#pageBytes(number))))
    page.set(hash, (block % PAGE_BLOCKS) * HASH_BYTES)
  }

  /** The hash of a block. Zeros if it was never set. */
  get(block: number): Uint8Array<ArrayBuffer> {
    const page = this.#pages.get(Math.floor(block / PAGE_BLOCKS))
    const at = (block % PAGE_BLOCKS) * HASH_BYTES
    return page === undefined ? new Uint8Array(HASH_BYTES) : page.subarray(at, at + HASH_BYTES)
  }

  /** The root [FT4]: SHA-256 over the size of the file (8 bytes) and all hashes. Every hash must have been set. */
  root(size: number): Uint8Array<ArrayBuffer> {
    const head = new Uint8Array(8)
    new DataView(head.buffer).setBigUint64(0, BigInt(size))
    const hash = noble.create().update(head)
    for (let number = 0; number * PAGE_BLOCKS < this.#blocks; number++) {
      const page = this.#pages.get(number)
      if (page === undefined) throw new Error(`no hash is known of block ${number * PAGE_BLOCKS}`)
      hash.update(page)
    }
    return new Uint8Array(hash.digest())
  }

  #pageBytes(number: number): number {
    return Math.min(PAGE_BLOCKS, this.#blocks - number * PAGE_BLOCKS) * HASH_BYTES
  }
}

export function isSameHash(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i])
}

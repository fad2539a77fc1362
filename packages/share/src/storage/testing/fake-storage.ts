import type { SyncHandle } from '../browser-files.js'
import type { OwnStorage } from '../opfs-store.js'

// The storage of a browser, in memory, as far as the storage module uses it.

export interface FakeStorage extends OwnStorage {
  /** What was done to files, in order, such as `flush 1.data`. */
  readonly done: readonly string[]
  /** When files were written last, and now. */
  readonly now: number
  /** The files of all folders. */
  names(): string[]
}

export interface FakeOptions {
  quota?: number
  /** A disk that takes no more than this in one write. */
  writeBytesMax?: number
}

const NOW = 1_000_000

export function fakeStorage({ quota = Infinity, writeBytesMax = Infinity }: FakeOptions = {}): FakeStorage {
  const done: string[] = []
  const root = new FakeFolder('', done, writeBytesMax)
  return {
    done,
    now: NOW,
    // Only what the module uses of a handle is there.
    getDirectory: () => Promise.resolve(root as unknown as FileSystemDirectoryHandle),
    estimate: () => Promise.resolve({ quota, usage: root.bytes() }),
    names: () => root.names(),
  }
}

class FakeFolder {
  readonly kind = 'directory'
  readonly name: string
  readonly #done: string[]
  readonly #writeBytesMax: number
  readonly #entries = new Map<string, FakeFolder | FakeFile>()

  constructor(name: string, done: string[], writeBytesMax: number) {
    this.name = name
    this.#done = done
    this.#writeBytesMax = writeBytesMax
  }

  async getDirectoryHandle(name: string, { create = false } = {}): Promise<FakeFolder> {
    const found =
      this.#entries.get(name) ?? (create ? new FakeFolder(name, this.#done, this.#writeBytesMax) : undefined)
    if (found === undefined) throw new DOMException('no such folder', 'NotFoundError')
    if (found.kind === 'file') throw new DOMException('a file', 'TypeMismatchError')
    this.#entries.set(name, found)
    return found
  }

  async getFileHandle(name: string, { create = false } = {}): Promise<FakeFile> {
    const found =
      this.#entries.get(name) ?? (create ? new FakeFile(name, this.#done, this.#writeBytesMax) : undefined)
    if (found === undefined) throw new DOMException('no such file', 'NotFoundError')
    if (found.kind === 'directory') throw new DOMException('a folder', 'TypeMismatchError')
    this.#entries.set(name, found)
    return found
  }

  async removeEntry(name: string): Promise<void> {
    const found = this.#entries.get(name)
    if (found === undefined) throw new DOMException('no such entry', 'NotFoundError')
    if (found.isOpen()) throw new DOMException('open', 'NoModificationAllowedError')
    this.#entries.delete(name)
  }

  async *values(): AsyncGenerator<FakeFolder | FakeFile> {
    yield* this.#entries.values()
  }

  isOpen(): boolean {
    return [...this.#entries.values()].some((entry) => entry.isOpen())
  }

  bytes(): number {
    return [...this.#entries.values()].reduce((sum, entry) => sum + entry.bytes(), 0)
  }

  names(): string[] {
    return [...this.#entries.values()].flatMap((entry) => entry.names())
  }
}

class FakeFile {
  readonly kind = 'file'
  readonly name: string
  readonly #done: string[]
  readonly #writeBytesMax: number
  #content = new Uint8Array()
  #isLocked = false

  constructor(name: string, done: string[], writeBytesMax: number) {
    this.name = name
    this.#done = done
    this.#writeBytesMax = writeBytesMax
  }

  async getFile(): Promise<File> {
    return new File([this.#content], this.name, { lastModified: NOW })
  }

  async createSyncAccessHandle(): Promise<SyncHandle> {
    if (this.#isLocked) throw new DOMException('locked', 'NoModificationAllowedError')
    this.#isLocked = true
    return {
      read: (into, { at }) => {
        const bytes = this.#content.subarray(at, at + into.length)
        into.set(bytes)
        return bytes.length
      },
      write: (bytes, { at }) => {
        this.#done.push(`write ${this.name}`)
        const taken = bytes.subarray(0, this.#writeBytesMax)
        this.#resize(Math.max(this.#content.length, at + taken.length))
        this.#content.set(taken, at)
        return taken.length
      },
      truncate: (size) => this.#resize(size),
      getSize: () => this.#content.length,
      flush: () => void this.#done.push(`flush ${this.name}`),
      close: () => {
        this.#isLocked = false
      },
    }
  }

  isOpen(): boolean {
    return this.#isLocked
  }

  bytes(): number {
    return this.#content.length
  }

  names(): string[] {
    return [this.name]
  }

  #resize(size: number): void {
    const content = new Uint8Array(size)
    content.set(this.#content.subarray(0, size))
    this.#content = content
  }
}

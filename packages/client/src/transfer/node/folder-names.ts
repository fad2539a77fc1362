import { readdir } from 'node:fs/promises'
import { basename, dirname } from 'node:path'
import { pathKey } from '../paths.js'
import { codeOf } from './store-error.js'

/** The names in folders, each read once, so that thousands of files need not be looked for one by one. */
export class FolderNames {
  readonly #folders = new Map<string, Promise<ReadonlySet<string> | undefined>>()

  /** False: nothing is at this path, on no disk, whether it tells capitals apart or not. */
  async mayHave(path: string): Promise<boolean> {
    const parent = dirname(path)
    const reading = this.#folders.get(parent) ?? readNames(parent)
    this.#folders.set(parent, reading)
    const names = await reading
    return names === undefined || names.has(pathKey([basename(path)]))
  }
}

/** Undefined: they cannot be read, so anything may be there. */
async function readNames(folder: string): Promise<ReadonlySet<string> | undefined> {
  try {
    return new Set((await readdir(folder)).map((name) => pathKey([name])))
  } catch (error) {
    return codeOf(error) === 'ENOENT' ? new Set() : undefined
  }
}

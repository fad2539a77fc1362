import { lstat, mkdir, realpath } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { StoreError } from '../types.js'
import type { Segments } from '../paths.js'
import { codeOf, ifThere } from './store-error.js'
import { syncFolder } from './sync-folder.js'

/** The folder that files are received into. Nothing is written outside of it. */
export interface SafeFolder {
  /** The real path of the folder. It is made if it does not exist. */
  root(): Promise<string>
  /**
   * Resolves with the path of a file. Each folder on the way must be a real one, because a symbolic link could lead out.
   * @param make - Makes the folders that are missing.
   * @throws StoreError
   */
  place(segments: Segments, make: boolean): Promise<string>
}

export function safeFolder(directory: string): SafeFolder {
  const wanted = resolve(directory)
  let root: string | undefined
  /** Files that are placed at the same time share the looks at their folders. */
  const checking = new Map<string, Promise<void>>()
  function check(path: string, name: string, make: boolean): Promise<void> {
    const key = `${make} ${path}`
    const running = checking.get(key) ?? checkFolder(path, name, make).finally(() => checking.delete(key))
    checking.set(key, running)
    return running
  }
  const folder: SafeFolder = {
    async root() {
      if (root === undefined) {
        await mkdir(wanted, { recursive: true })
        root = await realpath(wanted)
      }
      return root
    },
    async place(segments, make) {
      let path = await folder.root()
      for (const [depth, name] of segments.slice(0, -1).entries()) {
        path = join(path, name)
        await check(path, segments.slice(0, depth + 1).join('/'), make)
      }
      return join(path, segments[segments.length - 1] ?? '')
    },
  }
  return folder
}

async function checkFolder(path: string, name: string, make: boolean): Promise<void> {
  let found = await ifThere(() => lstat(path))
  if (found === undefined && make) {
    await mkdir(path).catch((error: unknown) => {
      if (codeOf(error) !== 'EEXIST') throw error
    })
    await syncFolder(dirname(path))
    found = await ifThere(() => lstat(path))
  }
  if (found === undefined || found.isDirectory()) return
  const what = found.isSymbolicLink() ? 'a symbolic link, which is not followed' : 'a file, and no folder'
  throw new StoreError('in-the-way', `${name} is ${what}`)
}

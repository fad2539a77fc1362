import type { Stats } from 'node:fs'
import { link, lstat, rename, unlink } from 'node:fs/promises'
import type { Segments } from '../paths.js'
import { StoreError, type OfferedFile } from '../types.js'
import type { SafeFolder } from './safe-folder.js'
import { codeOf, ifThere } from './store-error.js'

// A file, the path that it gets, and how it gets there.

export interface Placed {
  folder: SafeFolder
  segments: Segments
  file: OfferedFile
  share: string
  overwrite: boolean
  /** Gives the path to another file of the same name. */
  release: () => void
  /** Called before something is written into a folder. */
  firstUse: (folder: string) => Promise<void>
}

/** Whether a disk can keep this time, in milliseconds since 1970. */
export const isTime = (at: number | undefined): at is number =>
  at !== undefined && Number.isFinite(at) && at >= 0 && at < 1e13

/** `found`: what is at the place. @throws StoreError if that may not be replaced */
export function refuseExisting(name: string, found: Stats | undefined, overwrite: boolean): void {
  if (found?.isDirectory()) throw new StoreError('in-the-way', `${name} is a folder here already`)
  if (found !== undefined && !overwrite) throw new StoreError('exists', `${name} exists already`)
}

/** Gives the part its name. A link fails if the name is taken, also if it was taken a moment ago. */
export async function move(
  { part, place, name }: { part: string; place: string; name: string },
  overwrite: boolean,
): Promise<void> {
  if (overwrite) return rename(part, place)
  try {
    await link(part, place)
  } catch (error) {
    if (codeOf(error) === 'EEXIST') throw new StoreError('exists', `${name} exists already`)
    // Some disks have no links.
    refuseExisting(name, await ifThere(() => lstat(place)), false)
    return rename(part, place)
  }
  await unlink(part)
}

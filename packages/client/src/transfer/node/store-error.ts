import { StoreError, type StoreProblem } from '../types.js'

const REASONS: Readonly<Record<string, readonly [StoreProblem, string]>> = {
  ENOSPC: ['full', 'the disk is full'],
  EDQUOT: ['full', "this user's share of the disk is used up"],
  EFBIG: ['full', 'the file is too large for this disk'],
  EEXIST: ['exists', 'something with this name exists already'],
  EISDIR: ['in-the-way', 'a folder with this name exists already'],
  ENOTDIR: ['in-the-way', 'a file has the name of one of its folders'],
  ELOOP: ['in-the-way', 'a symbolic link has this name, and is not followed'],
  ENAMETOOLONG: ['bad-name', 'the name is too long for this disk'],
  EINVAL: ['bad-name', 'this disk does not take the name'],
  EILSEQ: ['bad-name', 'this disk does not take the name'],
  EACCES: ['failed', 'the folder may not be written to'],
  EPERM: ['failed', 'the folder may not be written to'],
  EROFS: ['failed', 'the disk may only be read'],
  EMFILE: ['failed', 'this process has too many open files'],
  EPIPE: ['failed', 'the program that reads the stream has ended'],
  ERR_STREAM_DESTROYED: ['failed', 'the stream was closed'],
  ENOENT: ['failed', 'the folder, or what was received before, was removed'],
}

/** The code of an error of the system, such as `ENOENT`. */
export const codeOf = (error: unknown): string | undefined =>
  error instanceof Error && 'code' in error ? String(error.code) : undefined

/** Runs `act`, whose errors of the system become StoreErrors that begin with `path`. */
export async function storing<T>(path: string, act: () => Promise<T>): Promise<T> {
  try {
    return await act()
  } catch (cause) {
    const code = codeOf(cause)
    if (cause instanceof StoreError || code === undefined) throw cause
    const [reason, why] = REASONS[code] ?? ['failed', `cannot be written (${code})`]
    throw new StoreError(reason, `${path}: ${why}`, { cause })
  }
}

/** Runs `act`. Returns undefined if there is no such file. */
export async function ifThere<T>(act: () => Promise<T>): Promise<T | undefined> {
  try {
    return await act()
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined
    throw error
  }
}

/** Sizes are in MB, because nobody counts the room on a disk in bytes. The sender reads this, so it names no folder. */
export function noRoom(name: string, bytes: number, left: number): StoreError {
  const inMB = (count: number): string => `${count.toLocaleString('en')} MB`
  const needs = inMB(Math.ceil(bytes / 1e6))
  return new StoreError(
    'full',
    `${name} does not fit: it needs ${needs}, and the disk has ${inMB(Math.floor(left / 1e6))} left for it`,
  )
}

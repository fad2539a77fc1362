import { isAbsolute, resolve } from 'node:path'
import { reasonOf } from './reason.js'

/** Says why a file could not be read, and where it was looked for: `cannot be read: ENOENT: …`. */
export function unreadable(path: string, error: unknown): string {
  const reason = `cannot be read: ${reasonOf(error)}`
  const permission = isForbidden(error)
    ? '; the account that runs this program needs the permission to read it'
    : ''
  const place = isAbsolute(path)
    ? ''
    : `; a relative path begins in the folder where the program was started, so this is ${resolve(path)}`
  return `${reason}${permission}${place}`
}

/** A container often runs as another account than the one that wrote the file. */
const isForbidden = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && error.code === 'EACCES'

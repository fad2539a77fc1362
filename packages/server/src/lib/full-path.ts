import { isAbsolute, resolve } from 'node:path'

/** Says where a file of a relative path is looked for, as the end of an error. Empty for an absolute path. */
export function fullPath(path: string): string {
  return isAbsolute(path)
    ? ''
    : `; a relative path begins in the folder where the program was started, so this is ${resolve(path)}`
}

import { constants } from 'node:fs'
import { access, stat } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { WrongUsage } from './options.js'

/**
 * Refuses a folder that cannot be made or written to, before anybody is asked for files to put there.
 * @throws WrongUsage
 */
export async function checkFolder(folder: string): Promise<void> {
  if (folder === '') throw new WrongUsage('--to is empty: name a folder, or - for standard output')
  let path = resolve(folder)
  for (;;) {
    const found = await stat(path).catch((error: unknown) => unreadable(error, path))
    if (found?.isDirectory()) break
    if (found !== undefined)
      throw new WrongUsage(`--to: ${path} is no folder: name one, or - for standard output`)
    path = dirname(path)
  }
  await access(path, constants.W_OK).catch(() => {
    throw new WrongUsage(`--to: this user may not write to the folder ${path}`)
  })
}

/** Undefined: it does not exist, or what should be a folder on the way to it is a file. */
function unreadable(error: unknown, path: string): undefined {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
  throw new WrongUsage(`--to: ${path} cannot be read (${String(code)})`)
}

import { randomUUID } from 'node:crypto'
import { accessSync, constants, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { isObject } from '@peerage/protocol'
import { aText, check } from '../lib/check.js'
import type { IdentityStorage } from '../tier/identity.js'

/** Marks a file of ours, so that we never overwrite other JSON of the application. */
const FORMAT = 'peerage identities 1'
/** The file holds the reclaim secret, so only this user may read it. */
const OWNER_ONLY = 0o600

/**
 * Keeps the name and the secret of a Node peer in a file. The next run of the program is then the same peer, also after
 * a crash (invariant I8).
 *
 * Use one file per process. If a second process uses the same file at the same time, it takes the name from the first,
 * which ends as `superseded`. The file holds the secret, and any program that has the secret can take over the name.
 * So keep the file out of repositories and images. Only the current user can read it. Each write replaces the whole file.
 *
 * @param path - The path of the file, relative to the working directory. Its folder must exist.
 * @throws Error if the folder cannot be written to, or if the file cannot be read or holds something else
 * @throws TypeError if `path` is not a string
 *
 * @example
 * import { connect } from '@peerage/client'
 * import { fileStorage } from '@peerage/client/node'
 *
 * const peer = await connect('http://localhost:9000', { name: 'sensor-1', storage: fileStorage('./peer.json') })
 */
export function fileStorage(path: string): IdentityStorage {
  check('the path of fileStorage', path, aText)
  const file = resolve(path)
  const folder = dirname(file)
  try {
    accessSync(folder, constants.W_OK)
  } catch (cause) {
    throw new Error(`fileStorage cannot write to ${folder}: make the folder, or name another file`, { cause })
  }
  read(file)

  const change = (act: (items: Map<string, string>) => void): void => {
    const items = read(file)
    act(items)
    write(file, JSON.stringify({ format: FORMAT, items: Object.fromEntries(items) }))
  }
  return {
    getItem: (key) => read(file).get(key) ?? null,
    setItem: (key, value) => change((items) => items.set(key, value)),
    removeItem: (key) => change((items) => items.delete(key)),
  }
}

function read(file: string): Map<string, string> {
  let text: string
  const found = statSync(file, { throwIfNoEntry: false })
  // A write replaces the file by renaming another one. That would replace the device by a file.
  if (found && !found.isFile() && !found.isDirectory())
    throw new Error(`fileStorage cannot use ${file}: it is a device, a pipe or a socket; name a file`)
  try {
    text = readFileSync(file, 'utf8')
  } catch (cause) {
    const code = isObject(cause) ? cause['code'] : undefined
    if (code === 'ENOENT') return new Map()
    if (code === 'EISDIR')
      throw new Error(`fileStorage cannot use ${file}: it is a folder; name a file in it`, { cause })
    throw new Error(`fileStorage cannot read ${file}`, { cause })
  }
  if (text.trim() === '') return new Map()
  const items = itemsOf(text)
  if (items === undefined)
    throw new Error(
      `${file} was not written by fileStorage, or it is damaged: delete it, or name another file`,
    )
  return items
}

function itemsOf(text: string): Map<string, string> | undefined {
  let stored: unknown
  try {
    stored = JSON.parse(text)
  } catch {
    return undefined
  }
  if (!isObject(stored) || stored['format'] !== FORMAT || !isObject(stored['items'])) return undefined
  const items = Object.entries(stored['items'])
  return new Map(items.filter((item): item is [string, string] => typeof item[1] === 'string'))
}

/** Writes atomically: a reader, even after a crash, sees either the old content or all of the new content. */
function write(file: string, text: string): void {
  const draft = `${file}.${randomUUID()}.tmp`
  try {
    writeFileSync(draft, text, { mode: OWNER_ONLY, flag: 'wx' })
    renameSync(draft, file)
  } catch (error) {
    rmSync(draft, { force: true })
    throw error
  }
}

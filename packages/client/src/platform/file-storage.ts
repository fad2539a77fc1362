import { randomUUID } from 'node:crypto'
import { accessSync, constants, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { isObject } from '@peerage/protocol'
import { aText, check } from '../lib/check.js'
import type { IdentityStorage } from '../tier/identity.js'

/** Tells a file of ours from an application's own JSON, which is not to be overwritten. */
const FORMAT = 'peerage identities 1'
/** A reclaim secret is for this user alone. */
const OWNER_ONLY = 0o600

/**
 * Keeps a Node peer's name and secret in a file, for `connect(url, { name, storage: fileStorage('./peer.json') })`: the
 * next run is the same peer, also after a crash. One file is for one process: a second one that uses it at the same time
 * takes the place of the first, which is `superseded`. The file holds the secret, which is the right to the name: whoever
 * has it can be that peer. It is written as a whole or not at all, readable for this user only. Throws an Error where the
 * file cannot be kept there, or holds something else, and a TypeError for a `path` that is no string.
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
  // Its place would be taken by a file: what writes as a whole renames.
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
    throw new Error(`${file} is no file of fileStorage, or it is damaged: delete it, or name another file`)
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

/** Whoever reads meanwhile, or after a crash, sees what was there before or all of this. */
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

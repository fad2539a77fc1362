import { randomUUID } from 'node:crypto'
import { accessSync, constants, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { isObject } from '@peerage/protocol'
import type { IdentityStorage } from './identity.js'

/** Tells a file of ours from an application's own JSON, which is not to be overwritten. */
const FORMAT = 'peerage identities 1'
/** A reclaim secret is for this user alone. */
const OWNER_ONLY = 0o600

/**
 * Keeps a Node peer's name and secret in a file, for `connect(url, { name, storage: fileStorage('./peer.json') })`: the
 * next run is the same peer, also after a crash. A file is for one process at a time, for the second one that uses it
 * takes the place of the first. It is written as a whole or not at all, readable for this user only. Throws an Error where
 * the file cannot be kept there, or holds something else.
 */
export function fileStorage(path: string): IdentityStorage {
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
  try {
    text = readFileSync(file, 'utf8')
  } catch (cause) {
    if (isObject(cause) && cause['code'] === 'ENOENT') return new Map()
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

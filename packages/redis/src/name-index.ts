import type { App, Name } from '@peerage/protocol'
import { parseName, parseNodeId } from '@peerage/protocol'
import type { IndexChange, IndexEntry, IndexPage, NameIndex, OnError } from '@peerage/core'
import { PARTITIONS, RegistryUnavailable } from '@peerage/core'
import type { Commands } from './connections/commands.js'
import { readStrings } from './connections/commands.js'
import { inTime } from './in-time.js'
import type { Keys } from './keys.js'
import type { RedisNodes } from './nodes.js'
import { countIndexScript, pageIndexScript, writeIndexScript } from './scripts/index.js'

export interface RedisNameIndexOptions {
  commands: Commands
  keys: Keys
  nodes: RedisNodes
  onError: OnError
}

/** The index of each app: two sorted sets and a hash for each partition. */
export class RedisNameIndex implements NameIndex {
  readonly #options: RedisNameIndexOptions

  constructor(options: RedisNameIndexOptions) {
    this.#options = options
  }

  async write(app: App, partition: number, changes: readonly IndexChange[]): Promise<void> {
    const { commands, keys, nodes } = this.#options
    const args = formatChanges(changes)
    const key = keys.indexed(app, partition)
    await inTime(nodes, async () => {
      const answer = await commands.script(writeIndexScript, key, [nodes.commandDeadline(), ...args])
      return answer === 1 ? answer : undefined
    })
  }

  async page(app: App, partition: number, after: Name | undefined, most: number): Promise<IndexPage> {
    const { commands, keys, onError } = this.#options
    const args = [after ?? '', most + 1]
    const texts = readStrings(await commands.script(pageIndexScript, keys.indexed(app, partition), args))
    const entries: IndexEntry[] = []
    let last: Name | undefined
    for (let i = 0; i < Math.min(texts.length, 2 * most); i += 2) {
      const name = parseName(texts[i])
      const place = texts[i + 1] ?? ''
      const entry = name.ok && place !== '' ? readPlace(name.value, place) : undefined
      if (entry !== undefined) entries.push(entry)
      else if (place !== '') onError(new Error('an entry of an index cannot be parsed'), { stage: 'index' })
      if (name.ok) last = name.value
    }
    return texts.length > 2 * most && last !== undefined ? { entries, next: last } : { entries }
  }

  async count(app: App): Promise<number> {
    const counts = await Promise.all(Array.from({ length: PARTITIONS }, (_, i) => this.#count(app, i)))
    return counts.reduce((sum, count) => sum + count, 0)
  }

  async #count(app: App, partition: number): Promise<number> {
    const { commands, keys } = this.#options
    const answer = await commands.script(countIndexScript, keys.indexed(app, partition), [])
    if (typeof answer === 'number') return answer
    throw new RegistryUnavailable('Redis gave an answer that none of our scripts gives')
  }
}

/** Groups of changes with the same TTL: the TTL, how many changes, then each name with a text. */
function formatChanges(changes: readonly IndexChange[]): (string | number)[] {
  const groups = new Map<number, string[]>()
  for (const change of changes) {
    const ttlMs = change.type === 'put' ? change.ttlMs : 0
    let group = groups.get(ttlMs)
    if (group === undefined) groups.set(ttlMs, (group = []))
    if (change.type === 'put') group.push(change.entry.name, formatPut(change.entry, change.over))
    else group.push(change.name, ` ${change.from} ${change.over}`)
  }
  return [...groups].flatMap(([ttlMs, group]) => [ttlMs, group.length / 2, ...group])
}

/** The place. Before it, in the rare case, an epoch greater than its own that it may replace. */
function formatPut(entry: IndexEntry, over: number): string {
  return over === entry.epoch ? formatPlace(entry) : `  ${over} ${formatPlace(entry)}`
}

const BASE = 36
const PATTERN = /^([\w-]{8})([oa])([0-9a-z]{1,11})(?::([0-9a-z]{1,11}))?(?: .*)?$/u

/** `node o|a since [':' epoch - since]`, numbers in base 36, as in a lease string. */
export function formatPlace({ node, state, since, epoch }: IndexEntry): string {
  const later = epoch === since ? '' : `:${(epoch - since).toString(BASE)}`
  return `${node}${state === 'online' ? 'o' : 'a'}${since.toString(BASE)}${later}`
}

/** Undefined for a text that none of our versions writes. A later version may add words at the end. */
export function readPlace(name: Name, place: string): IndexEntry | undefined {
  const words = PATTERN.exec(place)
  const node = parseNodeId(words?.[1])
  const since = Number.parseInt(words?.[3] ?? '', BASE)
  const epoch = since + Number.parseInt(words?.[4] ?? '0', BASE)
  if (!node.ok || !Number.isSafeInteger(since) || !Number.isSafeInteger(epoch)) return undefined
  return { name, node: node.value, state: words?.[2] === 'o' ? 'online' : 'away', since, epoch }
}

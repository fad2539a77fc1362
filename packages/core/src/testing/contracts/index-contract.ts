import { describe, expect, test } from 'vitest'
import type { App, Name } from '@peerage/protocol'
import { parseApp, parseName } from '@peerage/protocol'
import type { IndexChange, IndexEntry } from '../../names/name-index.js'
import { PARTITIONS } from '../../names/name-index.js'
import type { MakeCluster } from '../cluster.js'
import { must, newNodeId, quick } from '../cluster.js'
import { twoNodes } from './two-nodes.js'

let apps = 0
/** An app that no other test uses. */
const newApp = (): App => must(parseApp(`index-${apps++}`))
const named = (text: string): Name => must(parseName(text))

function entry(text: string, epoch: number, more: Partial<IndexEntry> = {}): IndexEntry {
  return { name: named(text), node: newNodeId(), state: 'online', since: epoch, epoch, ...more }
}

const put = (one: IndexEntry, ttlMs = 60_000, over = one.epoch): IndexChange => {
  return { type: 'put', entry: one, ttlMs, over }
}
const drop = (one: IndexEntry, from = 0): IndexChange => ({
  type: 'drop',
  name: one.name,
  over: one.epoch,
  from,
})

/** A time as the epochs of a cluster have it. */
const NOW_MS = 1_800_000_000_000

/** The contract of `NameIndex`, for every implementation. */
export function indexContract(name: string, makeCluster: MakeCluster): void {
  describe(`index contract: ${name}`, () => {
    const given = twoNodes(makeCluster)

    const listed = async (app: App, partition = 3): Promise<IndexEntry[]> =>
      (await given().b.backend.index.page(app, partition, undefined, 1_000)).entries

    test('[KEY7] another node reads an entry as it was written, with any characters in its name', async () => {
      const { a } = given()
      const app = newApp()
      const texts = ['a', 'b}c', '{d}', 'e:lease', '*?[x]\\', 'ä€😀', 'x/y', '1', 'o']
      const entries = texts.map((text, i) =>
        entry(text, NOW_MS + i, { since: NOW_MS - i, state: i % 2 === 0 ? 'online' : 'away' }),
      )
      await a.backend.index.write(
        app,
        3,
        entries.map((one) => put(one)),
      )
      const found = await listed(app)
      expect(new Set(found)).toEqual(new Set(entries))
      expect(found).toHaveLength(entries.length)
    })

    test('an app sees only its own entries, and each partition is separate', async () => {
      const { a, b } = given()
      const [app, other] = [newApp(), newApp()]
      await a.backend.index.write(app, 3, [put(entry('alice', 1))])
      await a.backend.index.write(app, PARTITIONS - 1, [put(entry('bob', 1))])
      await a.backend.index.write(other, 3, [put(entry('carol', 1))])
      expect((await listed(app)).map((one) => one.name)).toEqual(['alice'])
      expect((await listed(app, PARTITIONS - 1)).map((one) => one.name)).toEqual(['bob'])
      expect(await b.backend.index.count(app)).toBe(2)
      expect(await b.backend.index.count(newApp())).toBe(0)
      expect(await listed(newApp())).toEqual([])
    })

    test('[KEY7] a change with an older epoch has no effect on a newer entry', async () => {
      const { a, b } = given()
      const app = newApp()
      const [old, current] = [entry('alice', NOW_MS), entry('alice', NOW_MS + 1)]
      await a.backend.index.write(app, 3, [put(current)])
      await b.backend.index.write(app, 3, [put(old)])
      await b.backend.index.write(app, 3, [drop(old)])
      expect(await listed(app)).toEqual([current])
      const away: IndexEntry = { ...current, state: 'away' }
      await a.backend.index.write(app, 3, [put(away)])
      expect(await listed(app)).toEqual([away])
      await a.backend.index.write(app, 3, [drop(current)])
      expect(await listed(app)).toEqual([])
      expect(await b.backend.index.count(app)).toBe(0)
    })

    test('an older lease that has won replaces the entry of the claim that lost against it', async () => {
      const { a, b } = given()
      const app = newApp()
      const [old, lost] = [entry('alice', NOW_MS), entry('alice', NOW_MS + 7)]
      await b.backend.index.write(app, 3, [put(lost)])
      await a.backend.index.write(app, 3, [put(old, 60_000, lost.epoch)])
      expect(await listed(app)).toEqual([old])
      await b.backend.index.write(app, 3, [drop(lost, lost.epoch)])
      expect(await listed(app)).toEqual([old])
      await b.backend.index.write(app, 3, [drop(lost)])
      expect(await listed(app)).toEqual([])
    })

    test('pages have each name once, in a fixed order, while others come and go', async () => {
      const { a, b } = given()
      const app = newApp()
      const stays = Array.from({ length: 25 }, (_, i) => entry(`stays ${i} Zoë 名前 🙂`, 1))
      await a.backend.index.write(
        app,
        3,
        stays.map((one) => put(one)),
      )
      const seen: string[] = []
      let after: Name | undefined
      do {
        const page = await b.backend.index.page(app, 3, after, 4)
        expect(page.entries.length).toBeLessThanOrEqual(4)
        seen.push(...page.entries.map((one) => one.name))
        after = page.next
        const guest = entry(`guest ${seen.length}`, 1)
        await a.backend.index.write(app, 3, [put(guest)])
        await a.backend.index.write(app, 3, [drop(guest)])
      } while (after !== undefined)
      expect(seen.toSorted()).toEqual(stays.map((one) => one.name).toSorted())
    })

    test('a write may have a thousand changes, and a page a thousand entries', async () => {
      const { a, b } = given()
      const app = newApp()
      const many = Array.from({ length: 1_000 }, (_, i) => entry(`peer ${i}`, 1))
      await a.backend.index.write(
        app,
        3,
        many.map((one) => put(one)),
      )
      expect(await listed(app)).toHaveLength(1_000)
      expect(await given().b.backend.index.page(app, 3, undefined, 1_000)).not.toHaveProperty('next')
      expect(await b.backend.index.count(app)).toBe(1_000)
      await a.backend.index.write(
        app,
        3,
        many.map((one) => drop(one)),
      )
      expect(await b.backend.index.count(app)).toBe(0)
    })

    test('a flush empties the index', async () => {
      const { a, cluster } = given()
      const app = newApp()
      await a.backend.index.write(app, 3, [put(entry('alice', 1))])
      await cluster.flush()
      expect(await listed(app)).toEqual([])
    })
  })

  describe(`entries that end: ${name}`, () => {
    test('[I16] [KEY7] an entry ends by itself, is neither listed nor counted, and leaves nothing behind', async () => {
      const cluster = await makeCluster(quick)
      try {
        const a = await cluster.join()
        const app = newApp()
        const [alice, bob] = [entry('alice', 1), entry('bob', 1)]
        await a.backend.index.write(app, 3, [put(alice, 300), put(bob, 60_000)])
        await cluster.pass(600)
        expect(await a.backend.index.count(app)).toBe(1)
        expect((await a.backend.index.page(app, 3, undefined, 10)).entries).toEqual([bob])
        await a.backend.index.write(app, 3, [put(bob, 300), put(alice, 900)])
        await cluster.pass(600)
        expect((await a.backend.index.page(app, 3, undefined, 10)).entries).toEqual([alice])
        await cluster.pass(600)
        expect(await a.backend.index.count(app)).toBe(0)
        expect((await a.backend.index.page(app, 3, undefined, 10)).entries).toEqual([])
      } finally {
        await cluster.stop()
      }
    })
  })
}

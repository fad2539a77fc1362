import { describe, expect, test } from 'vitest'
import type { App } from '@peerage/protocol'
import { parseApp } from '@peerage/protocol'
import type { MakeCluster } from '../cluster.js'
import { must, quick } from '../cluster.js'
import { twoNodes } from './two-nodes.js'

let apps = 0
/** An app that no other test uses. */
const newApp = (): App => must(parseApp(`records-${apps++}`))
const TTL_MS = 60_000

/** The contract of `Records`, for every implementation. */
export function recordsContract(name: string, makeCluster: MakeCluster): void {
  describe(`records contract: ${name}`, () => {
    const given = twoNodes(makeCluster)

    test('[KEY8] another node reads the records of an app and kind, whatever their characters', async () => {
      const { a, b } = given()
      const app = newApp()
      const texts = ['n:alice', 's:b}c', 'j: {d}', 'ä€😀\n\0', '1 2', '*']
      for (const text of texts) await a.backend.records.put(app, 'bans', text, `value ${text}`, TTL_MS, 100)
      expect(await b.backend.records.get(app, 'bans', [...texts, 'unknown'])).toEqual([
        ...texts.map((text) => `value ${text}`),
        undefined,
      ])
      expect(await b.backend.records.get(app, 'servers', texts)).toEqual(texts.map(() => undefined))
      expect(await b.backend.records.get(newApp(), 'bans', texts)).toEqual(texts.map(() => undefined))
      expect(await b.backend.records.get(app, 'bans', [])).toEqual([])
    })

    test('a record is replaced, and deleted once', async () => {
      const { a, b } = given()
      const app = newApp()
      await a.backend.records.put(app, 'servers', 'one', 'first', TTL_MS, 100)
      await b.backend.records.put(app, 'servers', 'one', '', TTL_MS, 100)
      expect(await a.backend.records.get(app, 'servers', ['one'])).toEqual([''])
      expect(await a.backend.records.delete(app, 'servers', 'one')).toBe(true)
      expect(await b.backend.records.delete(app, 'servers', 'one')).toBe(false)
      expect(await b.backend.records.get(app, 'servers', ['one'])).toEqual([undefined])
    })

    test('beyond the given number a new record is refused, and a known one is replaced', async () => {
      const { a, b } = given()
      const app = newApp()
      for (const key of ['a', 'b'])
        expect(await a.backend.records.put(app, 'bans', key, key, TTL_MS, 2)).toBe('put')
      expect(await a.backend.records.put(app, 'bans', 'c', 'c', TTL_MS, 2)).toBe('full')
      expect(await a.backend.records.put(app, 'bans', 'b', 'new', TTL_MS, 2)).toBe('put')
      expect(await b.backend.records.get(app, 'bans', ['a', 'b', 'c'])).toEqual(['a', 'new', undefined])
      expect(await a.backend.records.put(app, 'servers', 'c', 'c', TTL_MS, 2)).toBe('put')
    })

    test('pages have each record once, with its value and when it ends', async () => {
      const { a, b } = given()
      const app = newApp()
      const keys = Array.from({ length: 11 }, (_, i) => `key ${i} ä`)
      for (const key of keys) await a.backend.records.put(app, 'bans', key, `value of ${key}`, TTL_MS, 100)
      const seen: string[] = []
      let after: string | undefined
      do {
        const page = await b.backend.records.page(app, 'bans', after, 4)
        expect(page.records.length).toBeLessThanOrEqual(4)
        for (const { key, value, endsInMs } of page.records) {
          expect(value).toBe(`value of ${key}`)
          expect(endsInMs).toBeGreaterThan(TTL_MS - 10_000)
          expect(endsInMs).toBeLessThanOrEqual(TTL_MS + 1)
          seen.push(key)
        }
        after = page.next
      } while (after !== undefined)
      expect(seen.toSorted()).toEqual(keys.toSorted())
      expect(await b.backend.records.page(app, 'bans', undefined, 11)).not.toHaveProperty('next')
      expect(await b.backend.records.page(newApp(), 'bans', undefined, 4)).toEqual({ records: [] })
    })
  })

  describe(`records that end: ${name}`, () => {
    test('[I16] [KEY8] a record ends by itself, and leaves nothing behind', async () => {
      const cluster = await makeCluster(quick)
      try {
        const { records } = (await cluster.join()).backend
        const app = newApp()
        await records.put(app, 'bans', 'short', 'x', 300, 2)
        await records.put(app, 'bans', 'long', 'y', TTL_MS, 2)
        await cluster.pass(600)
        expect(await records.get(app, 'bans', ['short', 'long'])).toEqual([undefined, 'y'])
        expect(await records.delete(app, 'bans', 'short')).toBe(false)
        expect((await records.page(app, 'bans', undefined, 10)).records.map(({ key }) => key)).toEqual([
          'long',
        ])
        expect(await records.put(app, 'bans', 'another', 'z', 300, 2)).toBe('put')
        await records.put(app, 'bans', 'long', 'y', 300, 2)
        await cluster.pass(600)
        expect(await records.get(app, 'bans', ['another', 'long'])).toEqual([undefined, undefined])
        expect(await records.page(app, 'bans', undefined, 10)).toEqual({ records: [] })
      } finally {
        await cluster.stop()
      }
    })
  })
}

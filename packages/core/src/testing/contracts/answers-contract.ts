import { describe, expect, test } from 'vitest'
import type { App } from '@peerage/protocol'
import { parseApp } from '@peerage/protocol'
import type { MakeCluster } from '../cluster.js'
import { must, quick } from '../cluster.js'
import { twoNodes } from './two-nodes.js'

let apps = 0
/** An app that no other test uses. */
const newApp = (): App => must(parseApp(`answers-${apps++}`))
const TTL_MS = 60_000

/** The contract of `Answers`, for every implementation. */
export function answersContract(name: string, makeCluster: MakeCluster): void {
  describe(`answers contract: ${name}`, () => {
    const given = twoNodes(makeCluster)

    test('[KEY9] of several nodes that begin with one key, one finds nothing, and the others find its text', async () => {
      const { a, b } = given()
      const app = newApp()
      const all = await Promise.all(
        Array.from({ length: 10 }, (_, i) =>
          (i % 2 ? a : b).backend.answers.begin(app, 'key', `from ${i}`, TTL_MS),
        ),
      )
      expect(all.filter((text) => text === undefined)).toHaveLength(1)
      const winner = all.indexOf(undefined)
      expect(new Set(all)).toEqual(new Set([undefined, `from ${winner}`]))
    })

    test('a finished answer takes the place of the first text, and can be forgotten', async () => {
      const { a, b } = given()
      const app = newApp()
      expect(await a.backend.answers.begin(app, 'key', 'begun', TTL_MS)).toBeUndefined()
      await a.backend.answers.finish(app, 'key', 'finished', TTL_MS)
      expect(await b.backend.answers.begin(app, 'key', 'begun again', TTL_MS)).toBe('finished')
      await b.backend.answers.forget(app, 'key')
      expect(await a.backend.answers.begin(app, 'key', '', TTL_MS)).toBeUndefined()
      expect(await b.backend.answers.begin(app, 'key', 'x', TTL_MS)).toBe('')
    })

    test('each app has its own answers, and a key is long and of any characters', async () => {
      const { a, b } = given()
      const [app, other] = [newApp(), newApp()]
      const keys = ['k', 'k}', '{k', 'ä€😀', 'k'.repeat(255), `${'k'.repeat(254)}j`]
      for (const key of keys) expect(await a.backend.answers.begin(app, key, key, TTL_MS)).toBeUndefined()
      for (const key of keys) {
        expect(await b.backend.answers.begin(app, key, 'x', TTL_MS)).toBe(key)
        expect(await b.backend.answers.begin(other, key, 'x', TTL_MS)).toBeUndefined()
      }
    })
  })

  describe(`answers that end: ${name}`, () => {
    test('[I16] [KEY9] an answer ends by itself, counted from its last write', async () => {
      const cluster = await makeCluster(quick)
      try {
        const { answers } = (await cluster.join()).backend
        const app = newApp()
        await answers.begin(app, 'begun', 'x', 300)
        await answers.begin(app, 'finished', 'x', 300)
        await answers.finish(app, 'finished', 'y', TTL_MS)
        await cluster.pass(600)
        expect(await answers.begin(app, 'begun', 'z', 300)).toBeUndefined()
        expect(await answers.begin(app, 'finished', 'z', 300)).toBe('y')
      } finally {
        await cluster.stop()
      }
    })
  })
}

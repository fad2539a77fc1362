import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { App } from '@peerage/protocol'
import { parseApp } from '@peerage/protocol'
import type { ContractCluster, ContractNode, MakeCluster } from '../cluster.js'
import { claimed, must, newPeer, patient, peer } from '../cluster.js'

const app = (text: string): App => must(parseApp(text))

/** The contract of `Directory`, for every implementation. */
export function directoryContract(name: string, makeCluster: MakeCluster): void {
  describe(`directory contract: ${name}`, () => {
    let cluster: ContractCluster
    let a: ContractNode
    let b: ContractNode
    beforeAll(async () => {
      cluster = await makeCluster(patient)
      a = await cluster.join()
      b = await cluster.join()
    })
    afterAll(() => cluster.stop())

    const listed = async (of: string, most = 10_000): Promise<string[]> =>
      (await a.backend.directory.list(app(of), most)).leases.map((lease) => lease.peer).sort()

    test('it lists the names of one app, from all nodes, with any characters', async () => {
      const odd = [
        'dir/a',
        'dir/b}c',
        'dir/{d}',
        'dir/e:lease',
        'dir/}:lease',
        'dir/*?[x]\\',
        'dir/ä€😀',
        'dir/x/y',
      ]
      for (const [index, one] of odd.entries()) await claimed(index % 2 === 0 ? a : b, peer(one))
      await claimed(a, peer('dir-2/a'))
      await claimed(a, peer('di/r'))
      expect(await listed('dir')).toEqual(odd.sort())
      expect(await listed('dir-2')).toEqual(['dir-2/a'])
      expect(await listed('dir-3')).toEqual([])
    })

    test('a name is listed with its lease, also while it is away, until it is free', async () => {
      const one = newPeer('stays')
      const lease = await claimed(b, one)
      const { leases, complete } = await a.backend.directory.list(app('stays'), 10)
      expect({ leases, complete }).toEqual({ leases: [lease], complete: true })
      await b.backend.registry.suspend(lease, 60_000)
      expect((await a.backend.directory.list(app('stays'), 10)).leases).toEqual([{ ...lease, state: 'away' }])
      await b.backend.registry.release({ ...lease, state: 'away' })
      expect(await listed('stays')).toEqual([])
    })

    test('it lists at most the given number, and says whether there are more', async () => {
      await Promise.all(Array.from({ length: 3_000 }, () => claimed(a, newPeer('many'))))
      const some = await a.backend.directory.list(app('many'), 100)
      expect([some.leases.length, some.complete]).toEqual([100, false])
      const all = await a.backend.directory.list(app('many'), 3_000)
      expect([new Set(all.leases.map((lease) => lease.peer)).size, all.complete]).toEqual([3_000, true])
    })
  })
}

import { afterAll, beforeAll } from 'vitest'
import type { Given, MakeCluster } from '../cluster.js'
import { patient } from '../cluster.js'

/** Two nodes of one store, for the tests of the `describe` around the call. They are there when the tests run. */
export function twoNodes(makeCluster: MakeCluster): () => Given {
  let given: Given
  beforeAll(async () => {
    const cluster = await makeCluster(patient)
    given = { cluster, a: await cluster.join(), b: await cluster.join() }
  })
  afterAll(() => given?.cluster.stop())
  return () => given
}

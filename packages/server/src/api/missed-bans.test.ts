import { connect } from '@peerage/client'
import { defaultTimes, memoryCluster, systemClock } from '@peerage/core'
import { pino } from 'pino'
import { expect, onTestFinished, test } from 'vitest'
import { encodeBan } from '../access/revocations.js'
import { configSchema } from '../config/schema.js'
import { PeerageServer } from '../server.js'
import { appOf } from '../testing/peerjs-fixture.js'

const app = appOf('default')
const api = { keys: ['a-key-of-24-characters-or-more'] }

test('[API30] a ban that a node could not hear, because it had lost the store, ends the connection when it is back', async () => {
  const cluster = memoryCluster({ clock: systemClock, times: defaultTimes })
  const backend = cluster.backend()
  const config = configSchema.parse({ port: 0, page: false, api, p2p: { useAsP2PServer: false } })
  const server = new PeerageServer({ config, log: pino({ level: 'silent' }), backend })
  onTestFinished(() => server.stop())
  const { url } = await server.listen()
  await server.ready()
  const of = { storage: null, p2p: false, leaveOnExit: false, onRetry: () => {} } as const
  const [eve, bob] = await Promise.all(['eve', 'bob'].map((name) => connect(url, { ...of, name })))
  if (eve === undefined || bob === undefined) throw new Error('no peers')
  onTestFinished(() => bob.close())
  const closed = new Promise((resolve) =>
    eve.on('state', (state) => state.state === 'closed' && resolve(state)),
  )
  const text = encodeBan({ until: Date.now() + 60_000 })
  await backend.records.put(app, 'bans', 'n:eve', text, 60_000, 10)
  // No node was told. This is what a node is told after a lost connection to the store.
  cluster.setDown(true)
  cluster.setDown(false)
  expect(await closed).toMatchObject({ reason: 'disconnected' })
  expect(bob.state.state).toBe('online')
})

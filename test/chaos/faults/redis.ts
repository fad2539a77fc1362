import { PeerageError } from '@peerage/client'
import type { Fault } from '../context.js'
import { TIMES, allOnline, heal, inject, isHealthy, isReady, localPair, until, wait } from '../context.js'
import { redisOf } from '../testbed.js'

export const redisFaults: readonly Fault[] = [
  {
    id: 'F5',
    title: 'Redis SIGKILL, restart empty',
    outageP99Ms: 5_000,
    watchMs: 20_000,
    run: async (context) => {
      await inject(context, 'F5', 'redis', () => redisOf(context.testbed).kill())
      await heal(context, 'F5', 'redis', () => redisOf(context.testbed).restart({ empty: true }))
      context.note('all names back after ms', await allOnline(context), { atMost: 2_000 })
    },
  },
  {
    id: 'F6',
    title: 'Redis SIGSTOP 10 s',
    outageP99Ms: 14_000,
    watchMs: 25_000,
    run: async (context) => {
      await inject(context, 'F6', 'redis', () => redisOf(context.testbed).pause())
      await wait(1_000)
      const [first] = context.traffic.actors
      const started = performance.now()
      const answer = await first?.peer.lookup(['somebody-else']).then(
        () => 'found',
        (error: unknown) => (error instanceof PeerageError ? error.code : 'other'),
      )
      context.note('registry-unavailable reported', answer === 'registry-unavailable' ? 1 : 0, { atLeast: 1 })
      context.note('reported within ms', performance.now() - started, { atMost: 1_000 })
      await wait(9_000 - (performance.now() - started))
      await heal(context, 'F6', 'redis', () => redisOf(context.testbed).resume())
      context.note('recovered after CONT ms', await allOnline(context), { atMost: 4_000 })
    },
  },
  {
    id: 'F7',
    title: 'Redis down 2 min',
    outageP99Ms: 130_000,
    watchMs: 150_000,
    run: async (context) => {
      const { testbed, traffic } = context
      const pids = testbed.members.map((member) => member.node.pid)
      await inject(context, 'F7', 'redis', () => redisOf(testbed).kill())
      await wait(TIMES.nodeLease + 2_000)
      const pair = localPair(traffic)
      let delivered = 0
      const ends = performance.now() + 120_000 - TIMES.nodeLease - 2_000
      while (performance.now() < ends) {
        const [a, b] = pair
        if (await traffic.send(a, b.name)) delivered++
        await wait(1_000)
      }
      context.note('local sends delivered while fenced', delivered, { atLeast: 50 })
      const ready = await Promise.all(testbed.members.map(isReady))
      context.note('nodes that report ready without Redis', ready.filter(Boolean).length, { atMost: 0 })
      const healthy = await Promise.all(testbed.members.map(isHealthy))
      context.note('nodes that are healthy', healthy.filter(Boolean).length, {
        atLeast: testbed.members.length,
      })
      await heal(context, 'F7', 'redis', () => redisOf(testbed).restart({ empty: true }))
      context.note('all names back after ms', await allOnline(context), { atMost: 6_000 })
      const same = testbed.members.filter((member, i) => member.node.pid === pids[i]).length
      context.note('processes that survived', same, { atLeast: testbed.members.length })
    },
  },
  {
    id: 'F13',
    title: 'Redis drops the subscriber (CLIENT KILL TYPE pubsub)',
    outageP99Ms: 5_000,
    watchMs: 15_000,
    run: async (context) => {
      let killed = 0
      await inject(context, 'F13', 'redis', async () => {
        killed = Number(await redisOf(context.testbed).cli('CLIENT', 'KILL', 'TYPE', 'pubsub'))
      })
      context.note('subscribers killed', killed, { atLeast: context.testbed.members.length })
      await wait(3_000)
      await heal(context, 'F13', 'redis', () => {})
    },
  },
  {
    id: 'F23',
    title: 'malformed bus messages',
    outageP99Ms: 3_000,
    watchMs: 10_000,
    run: async (context) => {
      const { members } = context.testbed
      const redis = redisOf(context.testbed)
      await inject(context, 'F23', 'every inbox', async () => {
        const channels = (await redis.cli('PUBSUB', 'SHARDCHANNELS', '*'))
          .split('\n')
          .filter((one) => one.length > 0)
        const junk = [
          '',
          '{',
          'null',
          '[]',
          '\u0000\u0001\u0002',
          '9'.repeat(100_000),
          '{"type":"deliver"}',
          '5:abc',
        ]
        for (const channel of channels) for (const text of junk) await redis.cli('SPUBLISH', channel, text)
        context.note('channels with malformed messages', channels.length, { atLeast: members.length })
      })
      await wait(500)
      const healthy = await Promise.all(members.map(isHealthy))
      context.note('nodes that are healthy', healthy.filter(Boolean).length, { atLeast: members.length })
      await heal(context, 'F23', 'every inbox', () => {})
    },
  },
  {
    id: 'F14',
    title: 'subscription lost silently',
    outageP99Ms: 8_000,
    watchMs: 20_000,
    run: async (context) => {
      const { store } = context.testbed
      if (store.kind !== 'standalone') throw new Error('needs a standalone Redis')
      const channels = (await store.redis.cli('PUBSUB', 'SHARDCHANNELS', 'pg:inbox:*'))
        .split('\n')
        .filter((one) => one !== '')
      await inject(context, 'F14', 'every inbox', () => {
        // The proxy unsubscribes on the nodes' own connections: no connection ends, and no node is told.
        const told =
          store.meddler.say('SSUBSCRIBE', 'SUNSUBSCRIBE', ...channels) +
          store.meddler.say('ssubscribe', 'SUNSUBSCRIBE', ...channels)
        context.note('subscribers unsubscribed', told, { atLeast: context.testbed.members.length })
      })
      const inboxes = async (): Promise<number> =>
        (await store.redis.cli('PUBSUB', 'SHARDCHANNELS', 'pg:inbox:*'))
          .split('\n')
          .filter((one) => one !== '').length
      context.note('inboxes left', await inboxes(), { atMost: 0 })
      const tookMs = await until(
        'the canary noticed',
        20_000,
        async () => (await inboxes()) >= channels.length,
      )
      context.note('noticed by the canary after ms', tookMs, { atMost: 8_000 })
      await heal(context, 'F14', 'every inbox', () => {})
    },
  },
  {
    id: 'F25',
    title: 'nodes of version N and N+1 together',
    outageP99Ms: 3_000,
    watchMs: 10_000,
    run: async (context) => {
      const redis = redisOf(context.testbed)
      await inject(context, 'F25', 'every inbox', async () => {
        const channels = (await redis.cli('PUBSUB', 'SHARDCHANNELS', 'pg:inbox:*'))
          .split('\n')
          .filter((one) => one !== '')
        // A record of a type that this version does not know, in the usual frame.
        for (const channel of channels)
          for (let i = 0; i < 50; i++) await redis.cli('SPUBLISH', channel, 'z5:3:newerabc')
      })
      const healthy = await Promise.all(context.testbed.members.map(isHealthy))
      context.note('nodes that are healthy', healthy.filter(Boolean).length, {
        atLeast: context.testbed.members.length,
      })
      await heal(context, 'F25', 'every inbox', () => {})
    },
  },
]

import { PeerageError } from '@peerage/client'
import type { Fault } from '../scene.js'
import { TIMES, allOnline, heal, inject, isHealthy, isReady, localPair, until, wait } from '../scene.js'
import { redisOf } from '../stage.js'

export const redisFaults: readonly Fault[] = [
  {
    id: 'F5',
    title: 'Redis SIGKILL, restart empty',
    outageP99Ms: 5_000,
    watchMs: 20_000,
    run: async (scene) => {
      await inject(scene, 'F5', 'redis', () => redisOf(scene.stage).kill())
      await heal(scene, 'F5', 'redis', () => redisOf(scene.stage).restart({ empty: true }))
      scene.note('all names back after ms', await allOnline(scene), { atMost: 2_000 })
    },
  },
  {
    id: 'F6',
    title: 'Redis SIGSTOP 10 s',
    outageP99Ms: 14_000,
    watchMs: 25_000,
    run: async (scene) => {
      await inject(scene, 'F6', 'redis', () => redisOf(scene.stage).pause())
      await wait(1_000)
      const [first] = scene.traffic.actors
      const started = performance.now()
      const answer = await first?.peer.lookup(['somebody-else']).then(
        () => 'found',
        (error: unknown) => (error instanceof PeerageError ? error.code : 'other'),
      )
      scene.note('registry-unavailable said', answer === 'registry-unavailable' ? 1 : 0, { atLeast: 1 })
      scene.note('said within ms', performance.now() - started, { atMost: 1_000 })
      await wait(9_000 - (performance.now() - started))
      await heal(scene, 'F6', 'redis', () => redisOf(scene.stage).resume())
      scene.note('recovered after CONT ms', await allOnline(scene), { atMost: 4_000 })
    },
  },
  {
    id: 'F7',
    title: 'Redis down 2 min',
    outageP99Ms: 130_000,
    watchMs: 150_000,
    run: async (scene) => {
      const { stage, traffic } = scene
      const pids = stage.seats.map((seat) => seat.node.pid)
      await inject(scene, 'F7', 'redis', () => redisOf(stage).kill())
      await wait(TIMES.nodeLease + 2_000)
      const pair = localPair(traffic)
      let delivered = 0
      const ends = performance.now() + 120_000 - TIMES.nodeLease - 2_000
      while (performance.now() < ends) {
        const [a, b] = pair
        if (await traffic.send(a, b.name)) delivered++
        await wait(1_000)
      }
      scene.note('local sends delivered while fenced', delivered, { atLeast: 50 })
      const ready = await Promise.all(stage.seats.map(isReady))
      scene.note('nodes that say ready without Redis', ready.filter(Boolean).length, { atMost: 0 })
      const healthy = await Promise.all(stage.seats.map(isHealthy))
      scene.note('nodes that are healthy', healthy.filter(Boolean).length, { atLeast: stage.seats.length })
      await heal(scene, 'F7', 'redis', () => redisOf(stage).restart({ empty: true }))
      scene.note('all names back after ms', await allOnline(scene), { atMost: 6_000 })
      const same = stage.seats.filter((seat, i) => seat.node.pid === pids[i]).length
      scene.note('processes that lived on', same, { atLeast: stage.seats.length })
    },
  },
  {
    id: 'F13',
    title: 'Redis drops the subscriber (CLIENT KILL TYPE pubsub)',
    outageP99Ms: 5_000,
    watchMs: 15_000,
    run: async (scene) => {
      let killed = 0
      await inject(scene, 'F13', 'redis', async () => {
        killed = Number(await redisOf(scene.stage).cli('CLIENT', 'KILL', 'TYPE', 'pubsub'))
      })
      scene.note('subscribers killed', killed, { atLeast: scene.stage.seats.length })
      await wait(3_000)
      await heal(scene, 'F13', 'redis', () => {})
    },
  },
  {
    id: 'F23',
    title: 'malformed bus messages',
    outageP99Ms: 3_000,
    watchMs: 10_000,
    run: async (scene) => {
      const { seats } = scene.stage
      const redis = redisOf(scene.stage)
      await inject(scene, 'F23', 'every inbox', async () => {
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
        scene.note('channels poisoned', channels.length, { atLeast: seats.length })
      })
      await wait(500)
      const healthy = await Promise.all(seats.map(isHealthy))
      scene.note('nodes that are healthy', healthy.filter(Boolean).length, { atLeast: seats.length })
      await heal(scene, 'F23', 'every inbox', () => {})
    },
  },
  {
    id: 'F14',
    title: 'subscription lost silently',
    outageP99Ms: 8_000,
    watchMs: 20_000,
    run: async (scene) => {
      const { store } = scene.stage
      if (store.kind !== 'standalone') throw new Error('on a standalone Redis only')
      const channels = (await store.redis.cli('PUBSUB', 'SHARDCHANNELS', 'pg:inbox:*'))
        .split('\n')
        .filter((one) => one !== '')
      await inject(scene, 'F14', 'every inbox', () => {
        // In the nodes' own names: no connection ends, and nobody is told.
        const told =
          store.meddler.say('SSUBSCRIBE', 'SUNSUBSCRIBE', ...channels) +
          store.meddler.say('ssubscribe', 'SUNSUBSCRIBE', ...channels)
        scene.note('subscribers deafened', told, { atLeast: scene.stage.seats.length })
      })
      const inboxes = async (): Promise<number> =>
        (await store.redis.cli('PUBSUB', 'SHARDCHANNELS', 'pg:inbox:*'))
          .split('\n')
          .filter((one) => one !== '').length
      scene.note('inboxes left', await inboxes(), { atMost: 0 })
      const tookMs = await until(
        'the canary found it',
        20_000,
        async () => (await inboxes()) >= channels.length,
      )
      scene.note('found by the canary after ms', tookMs, { atMost: 8_000 })
      await heal(scene, 'F14', 'every inbox', () => {})
    },
  },
  {
    id: 'F25',
    title: 'nodes of version N and N+1 together',
    outageP99Ms: 3_000,
    watchMs: 10_000,
    run: async (scene) => {
      const redis = redisOf(scene.stage)
      await inject(scene, 'F25', 'every inbox', async () => {
        const channels = (await redis.cli('PUBSUB', 'SHARDCHANNELS', 'pg:inbox:*'))
          .split('\n')
          .filter((one) => one !== '')
        // A record of a type that this version does not know, framed as all are.
        for (const channel of channels)
          for (let i = 0; i < 50; i++) await redis.cli('SPUBLISH', channel, 'z5:3:newerabc')
      })
      const healthy = await Promise.all(scene.stage.seats.map(isHealthy))
      scene.note('nodes that are healthy', healthy.filter(Boolean).length, {
        atLeast: scene.stage.seats.length,
      })
      await heal(scene, 'F25', 'every inbox', () => {})
    },
  },
]

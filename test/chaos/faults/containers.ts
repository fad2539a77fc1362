import { once } from 'node:events'
import { connect as connectTcp } from 'node:net'
import type { TcpProxy } from '@peerage/test-support/tcp-proxy.js'
import type { ContainerNode, ContainerTestbed } from '../../containers/testbed.js'
import { TIMES, heal, inject, isReady, until, wait, type Context, type Fault } from '../context.js'
import { metricsOf, untilLinked, watchLinks } from '../links.js'
import { lose, type Loss } from '../packets.js'
import { SWITCHED_P99_MS } from './bad-links.js'

// Faults of the network between containers: of one path alone, which a proxy on loopback cannot disturb without the others.

/** A fault whose testbed consists of containers. It needs a Docker engine. */
export interface ContainerFault extends Fault<ContainerTestbed> {
  contained: true
  /** Each node reaches Redis through a proxy of its own, which can delay. */
  redisProxies?: boolean
}

type ContainerContext = Context<ContainerTestbed>

/** HAProxy's check ends after a second, and two of them must fail, a second apart; some more for a busy machine. */
const FOUND_DOWN_MS = 6_000
/** A half-open connection is noticed by the missing ping, and the next one is made. As for F15. */
const HALF_OPEN_P99_MS = 25_000
/** As for F1: the peers connect again at once, to another node. */
const RESET_P99_MS = 5_000
/** A node without Redis is fenced when its lease ends. Its peers stay, and reach those of other nodes afterwards. As for F11. */
const FENCED_P99_MS = 22_000
const CUT_MS = 16_000
const LINK_CUT_MS = 6_000
const DELAY_MS = { ms: 100, jitterMs: 50 }

const victimOf = ({ random, testbed }: ContainerContext): ContainerNode => random.pick(testbed.nodes)

/** Loses packets for a time, and notes how many: a fault that loses none tests nothing. */
async function losing(
  context: ContainerContext,
  o: { id: string; node: ContainerNode; what: string; loss: Loss; during: () => Promise<void> },
): Promise<void> {
  const target = `node ${o.node.index}: ${o.what}`
  const lossy = await lose(o.node.container, o.loss)
  context.history.add({ type: 'inject', fault: o.id, target })
  try {
    await o.during()
    context.note('packets lost', await lossy.counted(), { atLeast: 3 })
  } finally {
    await heal(context, o.id, target, () => lossy.heal())
  }
}

/** How long Redis takes to answer through a node's proxy. */
async function answerMs({ host, port }: TcpProxy): Promise<number> {
  const started = performance.now()
  const socket = connectTcp(port, host)
  socket.write('PING\r\n')
  await once(socket, 'data')
  socket.destroy()
  return performance.now() - started
}

const KINDS = [
  ['both', { direction: 'both' }, 'in both directions'],
  ['out', { direction: 'out' }, 'only what the node sends is lost'],
  ['in', { direction: 'in' }, 'only what the node is sent is lost'],
  ['reset', { direction: 'both', reset: true }, 'each packet is answered by a reset'],
] as const

const fromRedis = KINDS.map(([kind, loss, how]): ContainerFault => {
  const id = `F29-${kind}`
  return {
    id,
    title: `container cut off from Redis only: ${how}`,
    contained: true,
    outageP99Ms: FENCED_P99_MS,
    watchMs: 35_000,
    run: async (context) => {
      const node = victimOf(context)
      const during = async (): Promise<void> => {
        const ms = await until('not ready', 20_000, async () => !(await isReady(node)))
        context.note('not ready after ms', ms, { atMost: TIMES.nodeLease + 1_000 })
        const others = context.testbed.nodes.filter((other) => other !== node)
        const ready = await Promise.all(others.map(isReady))
        context.note('other nodes ready', ready.filter(Boolean).length, { atLeast: others.length })
        await wait(CUT_MS - ms)
        const read = await metricsOf(node)
        context.note('fenced after its lease', read('peerage_fenced'), { atLeast: 1 })
      }
      const address = context.testbed.redisAddress
      await losing(context, { id, node, what: 'Redis', loss: { ...loss, address }, during })
      context.note('ready again after ms', await until('ready', 30_000, () => isReady(node)), {
        atMost: 10_000,
      })
    },
  }
})

const fromOneNode = KINDS.filter(([kind]) => kind !== 'in').map(([kind, loss, how]): ContainerFault => {
  const id = `F30-${kind}`
  return {
    id,
    title: `container cut off from one other node only: ${how}`,
    contained: true,
    links: true,
    outageP99Ms: SWITCHED_P99_MS,
    watchMs: 15_000,
    run: async (context) => {
      const { nodes } = context.testbed
      const node = victimOf(context)
      const other = context.random.pick(nodes.filter((one) => one !== node))
      const seen = await watchLinks(nodes)
      const during = async (): Promise<void> => {
        await wait(LINK_CUT_MS)
        const ready = await Promise.all(nodes.map(isReady))
        context.note('nodes ready', ready.filter(Boolean).length, { atLeast: nodes.length })
      }
      await losing(context, {
        id,
        node,
        what: `node ${other.index}`,
        loss: { ...loss, address: other.address },
        during,
      })
      const { downs, inbox } = await seen()
      context.note('ends of links that gave up', downs, { atLeast: 1 })
      context.note('envelopes through Redis instead', inbox, { atLeast: 5 })
      context.note('all nodes linked again after ms', await untilLinked(nodes), { atMost: 60_000 })
    },
  }
})

const fromBalancer = KINDS.map(([kind, loss, how]): ContainerFault => {
  const id = `F31-${kind}`
  return {
    id,
    title: `container cut off from the balancer only: ${how}`,
    contained: true,
    // A reset tells both ends at once.
    outageP99Ms: kind === 'reset' ? RESET_P99_MS : HALF_OPEN_P99_MS,
    watchMs: 40_000,
    run: async (context) => {
      const { balancer, balancerAddress: address } = context.testbed
      const node = victimOf(context)
      const during = async (): Promise<void> => {
        const started = performance.now()
        await balancer.until(node.index, 'DOWN', 20_000)
        context.note('found down after ms', performance.now() - started, { atMost: FOUND_DOWN_MS })
        // Another way in still leads to the node, so its names are not free.
        context.note('the node itself is ready', (await isReady(node)) ? 1 : 0, { atLeast: 1 })
        await wait(TIMES.pingBudget)
      }
      await losing(context, { id, node, what: 'HAProxy', loss: { ...loss, address }, during })
      await balancer.until(node.index, 'UP', 20_000)
    },
  }
})

const others: readonly ContainerFault[] = [
  {
    id: 'F32',
    title: 'one packet of ten of a container is lost, to and from everybody',
    contained: true,
    outageP99Ms: 15_000,
    watchMs: 30_000,
    run: async (context) => {
      const node = victimOf(context)
      const loss: Loss = { direction: 'both', percent: 10 }
      await losing(context, { id: 'F32', node, what: 'loss', loss, during: () => wait(CUT_MS) })
      context.note('ready afterwards, after ms', await until('ready', 30_000, () => isReady(node)), {
        atMost: 10_000,
      })
    },
  },
  {
    id: 'F33',
    title: `Redis ${DELAY_MS.ms} to ${DELAY_MS.ms + DELAY_MS.jitterMs} ms away from one container, each way`,
    contained: true,
    redisProxies: true,
    outageP99Ms: 5_000,
    noFailedSend: true,
    watchMs: 25_000,
    run: async (context) => {
      const node = victimOf(context)
      const proxy = node.redisProxy
      if (proxy === undefined) throw new Error('this testbed has no proxies to Redis')
      await inject(context, 'F33', `node ${node.index}`, () => proxy.delay(DELAY_MS.ms, DELAY_MS))
      await wait(CUT_MS)
      context.note('ready meanwhile', (await isReady(node)) ? 1 : 0, { atLeast: 1 })
      context.note('Redis answers after ms', await answerMs(proxy), { atLeast: 2 * DELAY_MS.ms })
      await heal(context, 'F33', `node ${node.index}`, () => proxy.heal())
    },
  },
  {
    id: 'F34',
    title: 'the container of Redis frozen for 10 s (docker pause)',
    contained: true,
    outageP99Ms: 14_000,
    watchMs: 30_000,
    run: async (context) => {
      const { redis, nodes } = context.testbed
      await inject(context, 'F34', 'Redis', () => redis.pause())
      await wait(10_000)
      const seen = await Promise.all(nodes.map(isReady))
      context.note('nodes ready meanwhile', seen.filter(Boolean).length, { atMost: 0 })
      await heal(context, 'F34', 'Redis', () => redis.resume())
      const ready = async (): Promise<boolean> => (await Promise.all(nodes.map(isReady))).every(Boolean)
      context.note('all nodes ready after ms', await until('ready', 20_000, ready), { atMost: 10_000 })
    },
  },
  {
    id: 'F35',
    title:
      'a container without its network for 8 s: it loses its interface and its address, and gets them again',
    contained: true,
    outageP99Ms: HALF_OPEN_P99_MS,
    watchMs: 45_000,
    run: async (context) => {
      const { testbed } = context
      const node = victimOf(context)
      await inject(context, 'F35', `node ${node.index}`, () => testbed.disconnect(node))
      await wait(8_000)
      context.note('without its network it is ready', (await isReady(node)) ? 1 : 0, { atMost: 0 })
      await heal(context, 'F35', `node ${node.index}`, () => testbed.reconnect(node))
      await testbed.balancer.until(node.index, 'UP', 40_000)
    },
  },
]

export const containerFaults: readonly ContainerFault[] = [
  ...fromRedis,
  ...fromOneNode,
  ...fromBalancer,
  ...others,
]

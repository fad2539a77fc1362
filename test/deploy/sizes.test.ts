import { readdir, readFile } from 'node:fs/promises'
import { beforeAll, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { REPOSITORY, startNode } from '@peerage/test-support/node.js'
import { loadConfig, type Config } from '@peerage/test-support/testing/server.js'
import { containerOf, deploymentSchema, find, givenTo, renderManifests, type Manifest } from './manifests.js'

// The figures of docs/deploy.md, Sizes.
const PEER_RSS_BYTES = 8_200
const PEER_HEAP_BYTES = 5_500
const IDLE_US_PER_SECOND = 5
const CONNECT_US = 260
const MESSAGE_US = 163
const EMPTY_NODE_BYTES = 140e6
const BUSY_CORES = 0.6
/** Of the memory limit; Node 26 in a container. */
const HEAP_SHARE = 0.5
/** An autoscaler does nothing within this share of its target (kube-controller-manager, its default). */
const TOLERANCE = 0.1
/** bench/scaling.ts: 20 messages in ten minutes, and a connect in half an hour. */
const MESSAGES_PER_SECOND = 20 / 600
const CONNECTS_PER_SECOND = 1 / 1_800
const RETURN_SECONDS = 60
const US = 1e-6

const resultsSchema = z.looseObject({
  comparisons: z.array(
    z.looseObject({
      id: z.string(),
      samples: z.record(z.string(), z.array(z.record(z.string(), z.number()))),
    }),
  ),
})
const averageValue = z.object({ type: z.literal('AverageValue'), averageValue: z.string() })
const hpaSchema = z.looseObject({
  spec: z.looseObject({
    minReplicas: z.number(),
    maxReplicas: z.number(),
    metrics: z.tuple([
      z.object({
        type: z.literal('Pods'),
        pods: z.object({ metric: z.object({ name: z.string() }), target: averageValue }),
      }),
      z.object({
        type: z.literal('Resource'),
        resource: z.object({ name: z.string(), target: averageValue }),
      }),
    ]),
    behavior: z.looseObject({
      scaleDown: z.object({
        stabilizationWindowSeconds: z.number(),
        policies: z.array(z.object({ type: z.string(), value: z.number(), periodSeconds: z.number() })),
      }),
    }),
  }),
})

/** Bytes of a quantity of Kubernetes, such as 384Mi. */
function bytesOf(quantity: string): number {
  const [, number, unit] = /^(\d+)([MG])i$/.exec(quantity) ?? []
  if (number === undefined) throw new Error(`${quantity} is not in Mi or Gi`)
  return Number(number) * 2 ** (unit === 'M' ? 20 : 30)
}

/** Cores of a quantity of Kubernetes, such as 500m. */
function coresOf(quantity: string): number {
  const [, milli] = /^(\d+)m$/.exec(quantity) ?? []
  if (milli === undefined) throw new Error(`${quantity} is not in m`)
  return Number(milli) / 1_000
}

/** Every sample of a contender in bench/results. */
async function samples(id: string, contender: string): Promise<Record<string, number>[]> {
  const files = await readdir(`${REPOSITORY}bench/results`)
  const parsed = await Promise.all(
    files.map(async (name) => {
      const text = await readFile(`${REPOSITORY}bench/results/${name}`, 'utf8')
      return resultsSchema.parse(JSON.parse(text)).comparisons
    }),
  )
  return parsed.flat().flatMap((one) => (one.id === id ? (one.samples[contender] ?? []) : []))
}

const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN

let config: Config
let node: ReturnType<typeof containerOf>
let graceSeconds: number
let hpa: z.output<typeof hpaSchema>['spec']

beforeAll(async () => {
  const manifests: Manifest[] = await renderManifests()
  config = loadConfig(givenTo(manifests))
  const deployment = find(manifests, 'Deployment', 'peerage', deploymentSchema)
  node = containerOf(deployment)
  graceSeconds = deployment.spec.template.spec.terminationGracePeriodSeconds
  hpa = find(manifests, 'HorizontalPodAutoscaler', 'peerage', hpaSchema).spec
})

describe('the figures', () => {
  test('the bench measured no more memory and CPU for a peer', async () => {
    const memory = await samples('memory', 'peerage')
    const connects = await samples('connects', 'peerage')
    const messages = await samples('cross-node-steady', 'peerage, links off')
    expect([memory.length, connects.length, messages.length]).toEqual([
      expect.any(Number),
      expect.any(Number),
      expect.any(Number),
    ])
    for (const { rss, heap } of memory) {
      expect(rss).toBeLessThanOrEqual(PEER_RSS_BYTES)
      expect(heap).toBeLessThanOrEqual(PEER_HEAP_BYTES)
    }
    expect(median(memory.map(({ idleUs = Number.NaN }) => idleUs))).toBeLessThanOrEqual(IDLE_US_PER_SECOND)
    expect(
      median(connects.map(({ cpuUs = Number.NaN, redisUs = Number.NaN }) => cpuUs - redisUs)),
    ).toBeLessThanOrEqual(CONNECT_US)
    expect(median(messages.map(({ nodesUs = Number.NaN }) => nodesUs))).toBeLessThanOrEqual(MESSAGE_US)
  })

  test('a node without peers needs no more memory', async () => {
    const started = await startNode()
    try {
      const status = await readFile(`/proc/${started.pid}/status`, 'utf8')
      expect(1_024 * Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1])).toBeLessThan(EMPTY_NODE_BYTES)
    } finally {
      await started.stop()
    }
  })

  test('docs/deploy.md names the same figures', async () => {
    const text = await readFile(`${REPOSITORY}docs/deploy.md`, 'utf8')
    const [, sizes = ''] = /### Sizes\n([\s\S]+?)\n### /.exec(text) ?? []
    for (const figure of [
      `${PEER_RSS_BYTES / 1_000} KB RSS, ${PEER_HEAP_BYTES / 1_000} KB of it heap`,
      `${IDLE_US_PER_SECOND} µs a second`,
      `${CONNECT_US} µs`,
      `${MESSAGE_US} µs`,
      `${EMPTY_NODE_BYTES / 1e6} MB`,
      `${Math.round(config.limits.node.bufferedBytes / 1e6)} MB`,
      `${100 * BUSY_CORES} %`,
      `**${config.limits.node.connections.toLocaleString('en')} connections**`,
      `**CPU request ${node.resources.requests.cpu}**`,
      `**Memory request ${node.resources.requests.memory}**`,
      `**Memory limit ${node.resources.limits.memory}**`,
      `**The autoscaler aims at ${Number(hpa.metrics[0].pods.target.averageValue).toLocaleString('en')} connections**`,
      `**It also aims at ${hpa.metrics[1].resource.target.averageValue} of CPU**`,
      `**${hpa.minReplicas} to ${hpa.maxReplicas} nodes**`,
    ])
      expect(sizes).toContain(figure)
  })
})

describe('a full node', () => {
  const connections = (): number => config.limits.node.connections
  const idleBytes = (): number => connections() * PEER_RSS_BYTES + EMPTY_NODE_BYTES

  test('its memory request holds its peers, and a third of its limit is left when all unread bytes wait', () => {
    const { requests, limits } = node.resources
    expect(idleBytes()).toBeLessThanOrEqual(bytesOf(requests.memory))
    const most = idleBytes() + config.limits.node.bufferedBytes
    expect(most).toBeLessThan((2 / 3) * bytesOf(limits.memory))
  })

  test('its heap stays below what Node allows itself in that container', () => {
    const heap = connections() * PEER_HEAP_BYTES + config.limits.node.bufferedBytes
    expect(heap).toBeLessThan(HEAP_SHARE * bytesOf(node.resources.limits.memory))
  })

  test('its CPU request is enough for its peers, also while all of them come back within a minute', () => {
    const perPeer = MESSAGES_PER_SECOND * MESSAGE_US + CONNECTS_PER_SECOND * CONNECT_US + IDLE_US_PER_SECOND
    const returning = (connections() / RETURN_SECONDS) * CONNECT_US
    expect((connections() * perPeer + returning) * US).toBeLessThan(coresOf(node.resources.requests.cpu))
  })

  test('PeerJS peers have no lower limit than all peers', () => {
    expect(config.peerjs.concurrentLimit).toBe(connections())
  })
})

describe('the autoscaler', () => {
  /** What each remaining node has when one of the fewest nodes ends, and all were at the upper end of the tolerance. */
  const afterLoss = (target: number): number =>
    (target * (1 + TOLERANCE) * hpa.minReplicas) / (hpa.minReplicas - 1)

  test('it leaves room for the peers of a lost node, and for new ones until a pod is ready', () => {
    const [{ pods }] = hpa.metrics
    expect(pods.metric.name).toBe('peerage_connections')
    expect(afterLoss(Number(pods.target.averageValue))).toBeLessThan(0.85 * config.limits.node.connections)
  })

  test('the CPU target leaves room for the messages of a lost node', () => {
    const { resource } = hpa.metrics[1]
    expect(resource.name).toBe('cpu')
    expect((coresOf(resource.target.averageValue) * hpa.minReplicas) / (hpa.minReplicas - 1)).toBeCloseTo(
      BUSY_CORES,
    )
  })

  test('it removes one node at a time, and only after that one has moved its peers', () => {
    const { stabilizationWindowSeconds, policies } = hpa.behavior.scaleDown
    expect(stabilizationWindowSeconds).toBeGreaterThanOrEqual(600)
    for (const { value, periodSeconds } of policies)
      expect([value, periodSeconds > graceSeconds]).toEqual([1, true])
  })
})

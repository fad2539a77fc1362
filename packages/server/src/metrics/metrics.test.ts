import { memoryCluster } from '@peerage/core/memory'
import { mintNodeId } from '@peerage/core'
import type { LinkState } from '@peerage/node-links'
import { parseConnectionId, parsePeer } from '@peerage/protocol'
import { expect, test } from 'vitest'
import type { StunCounters } from '@peerage/stun'
import { countBus } from './bus-counts.js'
import { Metrics } from './metrics.js'

const stun: StunCounters = {
  requests: 0,
  answered: 8,
  refused: 0,
  bytesIn: 0,
  bytesOut: 0,
  connections: 0,
  connectionsRefused: 0,
  errors: 0,
  dropped: {
    malformed: 0,
    'no-cookie': 0,
    oversized: 0,
    'not-binding-request': 0,
    'bad-fingerprint': 0,
    'no-source': 0,
    rate: 9,
    backlog: 0,
  },
}

const links: LinkState = {
  up: 2,
  envelopes: { link: 90, inbox: 10 },
  repeated: 3,
  malformed: 0,
  ups: 4,
  downs: { unconfirmed: 1, full: 0, ended: 1, replaced: 0, identity: 0, closed: 0 },
  failures: 5,
  address: '127.0.0.1:9200',
  refused: 6,
}

function observed(): Metrics {
  const metrics = new Metrics({ version: '1.2.3', node: 'v20' })
  metrics.observe({
    connections: () => new Map([['native', 3] as const, ['peerjs', 4] as const]),
    apps: () => new Map([['chat', 2]]),
    names: () => 7,
    anonymous: () => ({ peers: 11, rooms: 12, roomMemberships: 13, poolMemberships: 14 }),
    ready: () => true,
    nodesLive: () => 2,
    fenced: () => false,
    draining: () => true,
    bus: () => ({ published: 5, received: 6, malformed: 1 }),
    links: () => links,
    stun: () => stun,
  })
  return metrics
}

test('every metric of ours has a help text and base units, and every counter ends with _total', async () => {
  const all = await observed().registry.getMetricsAsJSON()
  const ours = all.filter(({ name }) => name.startsWith('peerage_'))
  expect(ours.length).toBeGreaterThan(14)
  for (const { name, help, type } of ours) {
    expect(help).not.toBe('')
    expect(name).toMatch(/^peerage_[a-z_]+$/)
    expect(name).not.toMatch(/_(ms|millis|milliseconds|kb|mb)$/)
    // prom-client returns types as words in JSON, though its type declaration says numbers.
    expect([name, name.endsWith('_total')]).toEqual([name, String(type) === 'counter'])
  }
  // The metrics of the library itself: memory, event-loop lag.
  expect(all.map(({ name }) => name)).toContain('nodejs_eventloop_lag_p99_seconds')
})

test('events of gateways are counted under closed labels', async () => {
  const metrics = observed()
  metrics.connected('native')
  metrics.registered('peerjs', 'name-taken')
  metrics.routed('native', 'signal', 'delivered', 100)
  metrics.rejected('native', 'rate-limited')
  metrics.closed('native', 'slow-consumer')
  metrics.closed('native', 'by-peer')
  metrics.handshake('relayed', undefined, 1_500)
  metrics.handshake('failed', 'ice', 9_000)
  metrics.routed('peerjs', 'signal', 'forwarded', 50, 3)
  metrics.failed('canary')
  metrics.canary({ heard: false })
  metrics.canary({ heard: true, lagMs: 0.7 })
  metrics.happened('health', { healthy: false })
  const text = await metrics.registry.metrics()
  for (const line of [
    'peerage_connects_total{gateway="native"} 1',
    'peerage_registrations_total{gateway="peerjs",result="name-taken"} 1',
    'peerage_messages_total{gateway="native",type="signal",result="delivered"} 1',
    'peerage_message_bytes_total{gateway="native"} 100',
    'peerage_rejections_total{gateway="native",reason="rate-limited"} 1',
    'peerage_closes_total{gateway="native",reason="by-peer"} 1',
    'peerage_slow_consumer_closes_total{gateway="native"} 1',
    'peerage_handshakes_total{path="relayed",stage="open"} 1',
    'peerage_handshakes_total{path="failed",stage="ice"} 1',
    'peerage_handshake_seconds_bucket{le="2.5",path="relayed"} 1',
    'peerage_handshake_seconds_sum{path="failed"} 9',
    'peerage_canary_failures_total 1',
    'peerage_bus_lag_seconds_bucket{le="0.001"} 1',
    'peerage_routing_seconds_bucket{le="0.005",gateway="peerjs"} 1',
    'peerage_routing_seconds_count{gateway="peerjs"} 1',
    'peerage_fenced 0',
    'peerage_draining 1',
    'peerage_stun_requests_total{result="answered"} 8',
    'peerage_stun_requests_total{result="rate"} 9',
    'peerage_errors_total{stage="canary"} 1',
    'peerage_redis_up 0',
    'peerage_connections{gateway="peerjs"} 4',
    'peerage_names 7',
    'peerage_ready 1',
    'peerage_nodes_live 2',
    'peerage_bus_envelopes_total{direction="received"} 6',
    'peerage_bus_path_envelopes_total{path="link"} 90',
    'peerage_bus_path_envelopes_total{path="inbox"} 10',
    'peerage_bus_repeated_envelopes_total 3',
    'peerage_links 2',
    'peerage_link_switches_total{to="link",reason="busy"} 4',
    'peerage_link_switches_total{to="inbox",reason="unconfirmed"} 1',
    'peerage_link_switches_total{to="inbox",reason="full"} 0',
    'peerage_link_failures_total 5',
    'peerage_link_refusals_total 6',
    'peerage_build_info{version="1.2.3",node="v20"} 1',
  ])
    expect(text).toContain(`${line}\n`)
})

test('a counter that is kept elsewhere does not add up over two scrapes', async () => {
  const metrics = observed()
  await metrics.registry.metrics()
  const text = await metrics.registry.metrics()
  expect(text).toContain('peerage_bus_envelopes_total{direction="published"} 5\n')
  expect(text).toContain('peerage_bus_repeated_envelopes_total 3\n')
})

test('two nodes in one process do not see each other’s numbers', async () => {
  const [one, other] = [observed(), observed()]
  one.connected('native')
  expect(await other.registry.metrics()).not.toContain('peerage_connects_total{gateway="native"} 1')
})

test('envelopes are counted at both ends of the bus', async () => {
  const cluster = memoryCluster()
  const [near, far] = [countBus(cluster.backend()), countBus(cluster.backend())]
  const [node, connection, peer] = [mintNodeId(), parseConnectionId('1'), parsePeer('default/a')]
  if (!connection.ok || !peer.ok) throw new Error('bad words')
  const arrived = new Promise((resolve) => void far.bus.subscribe(node, resolve))
  await near.bus.publish(node, {
    type: 'superseded',
    peer: peer.value,
    connection: connection.value,
    epoch: 1,
  })
  await arrived
  expect(near.counts).toEqual({ published: 1, received: 0, malformed: 0 })
  expect(far.counts).toEqual({ published: 0, received: 1, malformed: 0 })
})

import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { z } from 'zod'
import { REPOSITORY, startNode, type Node } from '@peerage/test-support/node.js'
import { makeDirectory, removeDirectory } from '@peerage/test-support/fixture.js'
import { PeerJsPeer, offer } from '@peerage/test-support/peerjs.js'
import { freePort } from '@peerage/test-support/ports.js'
import { eventually } from '@peerage/test-support/process.js'
import { promtool, startPrometheus } from '@peerage/test-support/prometheus.js'
import { startRedis, type RedisServer } from '@peerage/test-support/redis.js'

const DEPLOY = `${REPOSITORY}deploy`
const alertsSchema = z.object({
  groups: z.array(
    z.object({
      rules: z.array(
        z.object({
          alert: z.string(),
          expr: z.string(),
          annotations: z.object({ summary: z.string(), action: z.string() }),
        }),
      ),
    }),
  ),
})
const dashboardSchema = z.object({
  uid: z.string(),
  panels: z.array(
    z.object({
      id: z.number(),
      title: z.string(),
      type: z.enum(['row', 'stat', 'timeseries']),
      gridPos: z.object({ x: z.number(), y: z.number(), w: z.number(), h: z.number() }),
      targets: z.array(z.object({ expr: z.string() })).default([]),
    }),
  ),
})

let redis: RedisServer
let node: Node
const ends: (() => Promise<unknown>)[] = []

beforeAll(async () => {
  redis = await startRedis()
  node = await startNode({ redisUrl: redis.url, args: ['--admin-port', '0'] })
})
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})
afterAll(async () => {
  await node.stop()
  await redis.stop()
})

const admin = (): string => {
  if (node.admin === undefined) throw new Error('no admin port')
  return node.admin
}
const scrape = async (): Promise<string> => (await fetch(`${admin()}/metrics`)).text()

/** The names of all metrics that /metrics lists. */
async function exposed(): Promise<Set<string>> {
  const text = await scrape()
  const names = new Set<string>()
  for (const [, name = '', type] of text.matchAll(/^# TYPE (\S+) (\S+)$/gm)) {
    names.add(name)
    if (type === 'histogram') for (const part of ['bucket', 'sum', 'count']) names.add(`${name}_${part}`)
  }
  return names
}

const metricsOf = (expression: string): string[] =>
  [...expression.matchAll(/\b(?:peerage|nodejs|process)_\w+/g)].map(([name]) => name)

async function expressions(): Promise<{ where: string; expression: string }[]> {
  const { groups } = alertsSchema.parse(parse(await readFile(`${DEPLOY}/alerts.yml`, 'utf8')))
  const { panels } = dashboardSchema.parse(
    JSON.parse(await readFile(`${DEPLOY}/grafana/peerage.json`, 'utf8')),
  )
  return [
    ...groups.flatMap(({ rules }) => rules.map(({ alert, expr }) => ({ where: alert, expression: expr }))),
    ...panels.flatMap(({ title, targets }) =>
      targets.map(({ expr }) => ({ where: title, expression: expr })),
    ),
  ]
}

describe('alerts and dashboard', () => {
  test('promtool accepts the rules and the configuration', async () => {
    expect(await promtool('check', 'rules', `${DEPLOY}/alerts.yml`)).toMatch(/SUCCESS: 1\d rules found/)
    expect(await promtool('check', 'config', `${DEPLOY}/prometheus.yml`)).toContain(
      'is valid prometheus config',
    )
  })

  test('one failed reload, and one lapse, is enough for an alert', async () => {
    const directory = await makeDirectory('rules')
    ends.push(() => removeDirectory(directory))
    const broken = join(directory, 'peerage.yaml')
    await writeFile(broken, 'relay: { enabled: true }')
    const args = ['--admin-port', '0', '--config', broken]
    const reloading = await startNode({ redisUrl: redis.url, args })
    ends.push(() => reloading.stop())
    const series = async (): Promise<string[]> => {
      const text = await (await fetch(`${reloading.admin}/metrics`)).text()
      return text.split('\n').filter((line) => /result="failed"|event="lapsed"/.test(line))
    }
    const [lapsed, failed] = [
      'peerage_node_events_total{event="lapsed"}',
      'peerage_reloads_total{result="failed"}',
    ]
    expect((await series()).toSorted()).toEqual([`${lapsed} 0`, `${failed} 0`])
    await writeFile(broken, 'relay: { enabled: perhaps }')
    process.kill(reloading.pid, 'SIGHUP')
    await reloading.log(({ msg }) => String(msg).startsWith('reload failed'))
    await expect.poll(series).toContain(`${failed} 1`)
    const { groups } = alertsSchema.parse(parse(await readFile(`${DEPLOY}/alerts.yml`, 'utf8')))
    const texts = new Map(
      groups.flatMap((group) => group.rules.map((rule) => [rule.alert, rule.annotations])),
    )
    const fires = (alertname: string, labels: Record<string, string>) => {
      const { summary = '', action = '' } = texts.get(alertname) ?? {}
      // These series have no instance.
      const exp_annotations = { summary: summary.replace('{{ $labels.instance }}', ''), action }
      const exp_alerts = [{ exp_labels: { severity: 'warning', ...labels }, exp_annotations }]
      return { eval_time: '5m', alertname, exp_alerts }
    }
    const rules = {
      rule_files: [`${DEPLOY}/alerts.yml`],
      tests: [
        {
          interval: '1m',
          input_series: [lapsed, failed].map((name) => ({ series: name, values: '0 0 1 1 1 1' })),
          alert_rule_test: [
            fires('PeerageReloadFailed', { result: 'failed' }),
            fires('PeerageNodeLapsed', { event: 'lapsed' }),
          ],
        },
      ],
    }
    await writeFile(join(directory, 'test.yml'), JSON.stringify(rules))
    expect(await promtool('test', 'rules', join(directory, 'test.yml'))).toContain('SUCCESS')
  })

  test('promtool accepts every expression of the dashboard', async () => {
    const directory = await makeDirectory('rules')
    ends.push(() => removeDirectory(directory))
    const rules = (await expressions()).map(({ expression }, i) => ({
      record: `dashboard:${i}`,
      expr: expression.replaceAll('$__rate_interval', '1m').replaceAll('"$instance"', '".*"'),
    }))
    await writeFile(join(directory, 'all.yml'), JSON.stringify({ groups: [{ name: 'all', rules }] }))
    expect(await promtool('check', 'rules', join(directory, 'all.yml'))).toContain(
      `SUCCESS: ${rules.length} rules`,
    )
  })

  test('every metric in their expressions exists in a real node', async () => {
    const known = await exposed()
    const all = await expressions()
    expect(all.length).toBeGreaterThan(40)
    for (const { where, expression } of all)
      for (const name of metricsOf(expression))
        expect([where, name, known.has(name)]).toEqual([where, name, true])
  })

  test('all our metrics are on the dashboard', async () => {
    const asked = new Set((await expressions()).flatMap(({ expression }) => metricsOf(expression)))
    const ours = [...(await exposed())].filter((name) => name.startsWith('peerage_'))
    const base = (name: string): string => name.replace(/_(?:bucket|sum|count)$/, '')
    const shown = new Set([...asked].map(base))
    expect(ours.filter((name) => !shown.has(base(name)))).toEqual([])
  })

  test('the panels have different ids and do not overlap', async () => {
    const { panels } = dashboardSchema.parse(
      JSON.parse(await readFile(`${DEPLOY}/grafana/peerage.json`, 'utf8')),
    )
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length)
    const cells = panels.flatMap(({ gridPos: { x, y, w, h } }) =>
      Array.from({ length: w * h }, (_, i) => `${x + (i % w)} ${y + Math.floor(i / w)}`),
    )
    expect(new Set(cells).size).toBe(cells.length)
  })
})

describe('a real node', () => {
  test('Prometheus scrapes it, and the counters match what peers did', async () => {
    const prometheus = await startPrometheus([admin().replace('http://', '')], [`${DEPLOY}/alerts.yml`])
    ends.push(() => prometheus.stop())
    const [a, b] = [
      await PeerJsPeer.open({ url: node.url, id: 'seen-a' }),
      await PeerJsPeer.open({ url: node.url, id: 'seen-b' }),
    ]
    ends.push(() => Promise.all([a.close(), b.close()]))
    a.send(offer('seen-b'))
    await b.next('OFFER')
    const value = async (expression: string, expected: number): Promise<void> => {
      await eventually(
        `${expression} is ${expected}`,
        async () => {
          const [found] = await prometheus.query(expression)
          if (found?.value === expected) return true
          throw new Error(`it is ${found?.value ?? 'absent'}`)
        },
        { deadlineMs: 20_000 },
      )
    }
    await value('up{job="peerage"}', 1)
    await value('peerage_connections{gateway="peerjs"}', 2)
    await value('peerage_names', 2)
    await value('peerage_messages_total{type="signal",result="delivered"}', 1)
    await value('peerage_redis_up', 1)
    const loaded = await prometheus.alerts()
    expect(loaded).toHaveLength(17)
    // If a busy machine delays one canary, this alert becomes pending. That is right.
    const isDelayed = async (): Promise<boolean> => {
      const text = await scrape()
      const count = (of: string): string | undefined =>
        new RegExp(`^peerage_bus_lag_seconds_${of} (\\S+)$`, 'm').exec(text)?.[1]
      return count('bucket\\{le="0.1"\\}') !== count('count')
    }
    await eventually(
      'every rule is evaluated and none fires',
      async () => {
        const slow = await isDelayed()
        const found = await prometheus.alerts()
        const calm = found.every(
          ({ name, health, state }) =>
            health === 'ok' &&
            (state === 'inactive' || (name === 'PeerageBusSlow' && state === 'pending' && slow)),
        )
        if (calm) return true
        throw new Error(JSON.stringify(found))
      },
      { deadlineMs: 20_000 },
    )
  })

  test('envelopes over links are counted by path, and a link that cannot be made is logged as one warning', async () => {
    const links = ['--admin-port', '0', '--links-host', '127.0.0.1']
    const nowhere = `127.0.0.1:${await freePort()}`
    const [near, far, unreached] = await Promise.all([
      startNode({ redisUrl: redis.url, args: links }),
      startNode({ redisUrl: redis.url, args: links }),
      startNode({ redisUrl: redis.url, args: [...links, '--links-advertise', nowhere] }),
    ])
    for (const one of [near, far, unreached]) ends.push(() => one.stop())
    const [a, b, c] = await Promise.all([
      PeerJsPeer.open({ url: near.url, id: 'linked-a' }),
      PeerJsPeer.open({ url: far.url, id: 'linked-b' }),
      PeerJsPeer.open({ url: unreached.url, id: 'linked-c' }),
    ])
    ends.push(() => Promise.all([a.close(), b.close(), c.close()]))
    const valueOf = async (name: string): Promise<number> => {
      const text = await (await fetch(`${near.admin ?? ''}/metrics`)).text()
      const line = text.split('\n').find((one) => one.startsWith(`${name} `))
      return Number(line?.slice(name.length))
    }
    /** Sends to one peer until a metric is more than 0. */
    const until = (metric: string, to: PeerJsPeer): Promise<true> =>
      eventually(
        `${metric} grows while ${to.id} gets many messages`,
        async () => {
          for (let i = 0; i < 30; i++) a.send(offer(to.id))
          return (await valueOf(metric)) > 0 ? true : undefined
        },
        { deadlineMs: 30_000 },
      )
    await until('peerage_bus_path_envelopes_total{path="link"}', b)
    expect(await valueOf('peerage_links')).toBe(1)
    expect(await valueOf('peerage_link_switches_total{to="link",reason="busy"}')).toBe(1)
    expect(await valueOf('peerage_bus_path_envelopes_total{path="inbox"}')).toBeGreaterThan(0)
    expect(await valueOf('peerage_link_failures_total')).toBe(0)

    await until('peerage_link_failures_total', c)
    const failures = await valueOf('peerage_link_failures_total')
    await eventually(
      'another attempt has failed',
      async () => {
        for (let i = 0; i < 30; i++) a.send(offer(c.id))
        return (await valueOf('peerage_link_failures_total')) > failures ? true : undefined
      },
      { deadlineMs: 30_000 },
    )
    // The line has the node's own id and the other node's, and no stack, because this is not a bug.
    expect(near.logs().filter(({ stage }) => stage === 'link')).toEqual([
      {
        level: 'warn',
        time: expect.any(String),
        node: near.id,
        stage: 'link',
        to: unreached.id,
        advice: expect.stringMatching(
          /^this node cannot connect to the other node\. .*links\.port.*peerage doctor/,
        ),
        error: expect.stringContaining(`no link to ${nowhere}: `),
        msg: 'failed',
      },
    ])
    // The messages arrived nevertheless.
    await c.next('OFFER')
  })

  test('no name, address or token is a label, so the number of series does not grow with the peers', async () => {
    const series = async (): Promise<string[]> =>
      (await scrape()).split('\n').filter((line) => line.startsWith('peerage_'))
    const meet = async (marker: string): Promise<void> => {
      const a = await PeerJsPeer.open({ url: node.url, id: `${marker}-a`, token: `${marker}-token` })
      const b = await PeerJsPeer.open({ url: node.url, id: `${marker}-b`, token: `${marker}-token` })
      a.send(offer(b.id))
      await b.next('OFFER')
      a.send({ type: `${marker}-type`, dst: b.id })
      a.send(offer(`${marker}-nobody`))
      a.send('{')
      await a.close()
      await b.close()
      const taken = new PeerJsPeer({ url: node.url, id: `${marker}-x`, key: `${marker}-key` })
      await taken.ended()
    }
    const settled = (): Promise<true> =>
      eventually(
        'all peers are gone',
        async () => ((await scrape()).includes('peerage_connections{gateway="peerjs"} 0') ? true : undefined),
        { deadlineMs: 10_000 },
      )
    await meet('first')
    await settled()
    const before = (await series()).length
    for (let i = 0; i < 20; i++) await meet(`marker${i}`)
    await settled()
    const after = await series()
    // If these labels were not bounded, each of the twenty would add at least one series. A short outage of Redis may
    // add a few.
    expect(after.length).toBeLessThan(before + 20)
    expect(after.filter((line) => /marker|first|127\.0\.0\.1|token/.test(line))).toEqual([])
  })

  test('canaries measure the bus, and their failures are counted while Redis is down', async () => {
    const sample = async (name: string): Promise<number> =>
      Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(await scrape())?.[1])
    const more = (name: string, than: number): Promise<true> =>
      eventually(`${name} grows`, async () => ((await sample(name)) > than ? true : undefined), {
        deadlineMs: 30_000,
      })
    await more('peerage_bus_lag_seconds_count', 1)
    expect(await sample('peerage_bus_lag_seconds_sum')).toBeLessThan(
      await sample('peerage_bus_lag_seconds_count'),
    )
    const before = await sample('peerage_canary_failures_total')
    await redis.pause()
    try {
      await more('peerage_canary_failures_total', before)
    } finally {
      await redis.resume()
    }
    await eventually(
      'the node is ready again',
      async () => ((await fetch(`${node.url}/readyz`)).ok ? true : undefined),
      {
        deadlineMs: 30_000,
      },
    )
  })
})

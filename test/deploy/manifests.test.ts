import { spawnSync } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { checkTimes, defaultTimes } from '@peerage/core'
import { beforeAll, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { loadConfig, configSchema, type Config } from '@peerage/test-support/testing/server.js'
import { REPOSITORY } from '@peerage/test-support/node.js'
import { mistakesOf } from './kubernetes-schemas.js'
import {
  configMapSchema,
  containerOf,
  deploymentSchema,
  filesThere,
  find,
  givenTo,
  K8S,
  manifestFiles,
  renderManifests,
  type Deployment,
  type Manifest,
} from './manifests.js'

const selector = z.object({ matchLabels: z.record(z.string(), z.string()) })
const serviceSchema = z.looseObject({
  spec: z.looseObject({
    type: z.string(),
    externalTrafficPolicy: z.string().optional(),
    selector: z.record(z.string(), z.string()),
    ports: z.array(z.looseObject({ name: z.string(), targetPort: z.string(), protocol: z.string() })),
  }),
})

let manifests: Manifest[]
let node: Deployment
let config: Config

beforeAll(async () => {
  manifests = await renderManifests()
  node = find(manifests, 'Deployment', 'peerage', deploymentSchema)
  config = loadConfig(givenTo(manifests))
})

const deployments = (): Deployment[] =>
  manifests.filter(({ kind }) => kind === 'Deployment').map((one) => deploymentSchema.parse(one))
describe('the manifests', () => {
  test('every file of the base has one object, and every file is rendered', async () => {
    const listed = (await manifestFiles()).map((name) => `base/${name}`)
    const there = (await filesThere()).filter((name) => name.startsWith('base/'))
    expect(there.sort()).toEqual([...listed, 'base/kustomization.yaml', 'base/peerage.env'].sort())
    // One object more: the ConfigMap that is made from peerage.env.
    expect(manifests).toHaveLength(listed.length + 1)
    for (const name of listed)
      expect((await readFile(`${K8S}/${name}`, 'utf8')).match(/^kind:/gm)).toHaveLength(1)
  })

  test('every object is valid and has no unknown fields', () => {
    for (const manifest of manifests)
      expect([manifest.metadata.name, mistakesOf(manifest)]).toEqual([manifest.metadata.name, []])
  })

  test('the check finds a wrong type, a missing field and a misspelled field', () => {
    const good = manifests.find(({ kind, metadata }) => kind === 'Deployment' && metadata.name === 'peerage')
    const text = JSON.stringify(good)
    const broken = (from: string, to: string): string[] => {
      expect(text).toContain(from)
      const parsed: Manifest = JSON.parse(text.replace(from, to))
      return mistakesOf(parsed)
    }
    expect(broken('"runAsNonRoot":true', '"runAsNonRoot":"yes"')[0]).toContain('runAsNonRoot must be boolean')
    expect(broken('"selector":', '"selektor":')[0]).toContain('required property selector')
    expect(broken('"maxUnavailable":0', '"maxUnavailible":0')).toEqual([
      '/spec/strategy/rollingUpdate/maxUnavailible: unknown',
    ])
  })

  test('they contain no secrets, only paths of secret files', () => {
    expect(manifests.filter(({ kind }) => kind === 'Secret')).toEqual([])
    for (const deployment of deployments())
      for (const variable of containerOf(deployment).env ?? []) {
        expect(variable.name).toMatch(/_FILE$/)
        const file = 'value' in variable ? variable.value : ''
        const mounts = containerOf(deployment).volumeMounts ?? []
        expect(mounts.some(({ mountPath }) => file.startsWith(`${mountPath}/`))).toBe(true)
      }
  })

  test('selectors, ports and spread constraints match the intended pods', () => {
    for (const deployment of deployments()) {
      const { labels } = deployment.spec.template.metadata
      expect(labels).toMatchObject(deployment.spec.selector.matchLabels)
      for (const { labelSelector } of deployment.spec.template.spec.topologySpreadConstraints ?? [])
        expect(labels).toMatchObject(labelSelector.matchLabels)
    }
    for (const name of ['peerage', 'peerage-p2p']) {
      const deployment = find(manifests, 'Deployment', name, deploymentSchema)
      const { labels } = deployment.spec.template.metadata
      const service = find(manifests, 'Service', name, serviceSchema).spec
      expect(labels).toMatchObject(service.selector)
      const ports = containerOf(deployment).ports.map((port) => `${port.name} ${port.protocol}`)
      for (const port of service.ports) expect(ports).toContain(`${port.targetPort} ${port.protocol}`)
      const budget = z.looseObject({ spec: z.looseObject({ maxUnavailable: z.number(), selector }) })
      const { maxUnavailable, selector: chosen } = find(manifests, 'PodDisruptionBudget', name, budget).spec
      expect(maxUnavailable).toBe(1)
      expect(labels).toMatchObject(chosen.matchLabels)
      const policy = z.looseObject({
        spec: z.looseObject({ podSelector: selector, policyTypes: z.array(z.string()) }),
      })
      const guarded = find(manifests, 'NetworkPolicy', name, policy).spec
      expect(labels).toMatchObject(guarded.podSelector.matchLabels)
      expect(guarded.policyTypes).toEqual(['Ingress', 'Egress'])
    }
  })

  test('every pod is restricted: no root, no privileges, a read-only root file system, no token', () => {
    expect(deployments()).toHaveLength(3)
    for (const deployment of deployments()) {
      const pod = deployment.spec.template.spec
      expect(pod).toMatchObject({ automountServiceAccountToken: false, enableServiceLinks: false })
      expect(pod.securityContext).toMatchObject({
        runAsNonRoot: true,
        seccompProfile: { type: 'RuntimeDefault' },
      })
      expect(pod.securityContext.runAsUser).toBeGreaterThan(0)
      expect(containerOf(deployment).securityContext).toEqual({
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        // What the image of coturn needs to start its program, as the container tests show with docker-compose.yml.
        capabilities: containerOf(deployment).image.startsWith('coturn/')
          ? { drop: ['ALL'], add: ['NET_BIND_SERVICE'] }
          : { drop: ['ALL'] },
      })
    }
  })

  test('coturn has exactly the hardened file, and a version without known vulnerabilities', async () => {
    const { data } = find(manifests, 'ConfigMap', 'coturn', configMapSchema)
    expect(data['turnserver.conf']).toBe(await readFile(`${REPOSITORY}deploy/turnserver.conf`, 'utf8'))
    const coturn = containerOf(find(manifests, 'Deployment', 'coturn', deploymentSchema))
    expect(coturn.image).toMatch(/^coturn\/coturn:4\.(1[7-9]|[2-9]\d)\./)
  })

  test('coturn does not start with a secret that is empty or cannot be read', () => {
    const coturn = containerOf(find(manifests, 'Deployment', 'coturn', deploymentSchema))
    const [shell = '', flag = '', script = ''] = coturn.command ?? []
    const secret = '/run/secrets/peerage/turn-secret'
    expect(script).toContain(secret)
    // Up to the file that it writes, and without the start of turnserver.
    const check = script.slice(0, script.indexOf('{ cat '))
    for (const path of ['/dev/null', '/nothing-here']) {
      const started = spawnSync(shell, [flag, check.replaceAll(secret, path)], { encoding: 'utf8' })
      expect([path, started.status, started.stderr]).toEqual([
        path,
        1,
        expect.stringMatching(/^turn-secret .* is empty or cannot be read: .*\n$/),
      ])
    }
  })

  test('the STUN server sees the source address of a request', () => {
    const { spec } = find(manifests, 'Service', 'peerage-p2p', serviceSchema)
    expect(spec).toMatchObject({ type: 'LoadBalancer', externalTrafficPolicy: 'Local' })
    expect(spec.ports.map(({ protocol }) => protocol).sort()).toEqual(['TCP', 'UDP'])
  })
})

describe('settings that depend on each other', () => {
  test('a pod has time to stop for its preStop, its drain and a margin', () => {
    const { terminationGracePeriodSeconds: graceSeconds } = node.spec.template.spec
    const { seconds } = containerOf(node).lifecycle.preStop.sleep
    expect(seconds).toBeGreaterThanOrEqual(10)
    expect(seconds).toBeLessThanOrEqual(15)
    expect(graceSeconds).toBeGreaterThanOrEqual(seconds + config.times.drainMs / 1_000 + 10)
    expect(graceSeconds).toBeGreaterThanOrEqual(90)
    expect(graceSeconds).toBeLessThanOrEqual(120)
  })

  test('a pod that hangs is restarted after its preStop, and much sooner than one that drains', () => {
    const { livenessProbe, lifecycle } = containerOf(node)
    const seconds = livenessProbe.terminationGracePeriodSeconds ?? Number.NaN
    expect(seconds).toBeGreaterThan(lifecycle.preStop.sleep.seconds)
    expect(seconds).toBeLessThan(node.spec.template.spec.terminationGracePeriodSeconds / 2)
  })

  test('preStop lasts longer than the readiness probes need to notice', () => {
    const { readinessProbe, lifecycle } = containerOf(node)
    const period = z.object({ periodSeconds: z.number(), failureThreshold: z.number() }).parse(readinessProbe)
    expect(period.periodSeconds * period.failureThreshold).toBeLessThan(lifecycle.preStop.sleep.seconds)
  })

  test('the liveness probe checks only the process, the readiness probe the node', () => {
    expect(containerOf(node).livenessProbe.httpGet).toEqual({ path: '/healthz', port: 'http' })
    expect(containerOf(node).readinessProbe.httpGet).toEqual({ path: '/readyz', port: 'http' })
  })

  test('the configuration is valid, and its times fit the leases', () => {
    expect(configSchema.safeParse(config).success).toBe(true)
    expect(checkTimes(config.times)).toEqual([])
    expect(checkTimes(defaultTimes)).toEqual([])
    const ports = Object.fromEntries(
      containerOf(node).ports.map(({ name, containerPort }) => [name, containerPort]),
    )
    expect(ports).toEqual({ http: config.port, metrics: config.admin.port })
    expect(config.links.host).toBeNull()
    expect(config.open).toBe(false)
  })

  test('a rollout replaces one node at a time, when a new one is ready', () => {
    expect(node.spec.strategy.rollingUpdate).toEqual({ maxSurge: 1, maxUnavailable: 0 })
    expect(node.spec.replicas).toBeUndefined()
  })
})

describe('balancers', () => {
  const seconds = (text: string, pattern: RegExp): number => Number(pattern.exec(text)?.[1])

  test('HAProxy and nginx keep a silent WebSocket open longer than a node does', async () => {
    const { pingIntervalMs, pingTimeoutMs } = defaultTimes
    const budgetSeconds = (pingIntervalMs + pingTimeoutMs) / 1_000
    // Other balancers have idle limits of 60 s and more, and pings use at most half of that.
    expect(pingIntervalMs).toBeLessThan(30_000)
    const haproxy = await readFile(`${REPOSITORY}deploy/haproxy.cfg`, 'utf8')
    expect(seconds(haproxy, /timeout tunnel "\$\{PEERAGE_TUNNEL_TIMEOUT-(\d+)s\}"/)).toBeGreaterThan(
      2 * budgetSeconds,
    )
    const nginx = await readFile(`${REPOSITORY}deploy/nginx.conf`, 'utf8')
    for (const which of ['read', 'send'])
      expect(seconds(nginx, new RegExp(`proxy_${which}_timeout (\\d+)s;`))).toBeGreaterThan(2 * budgetSeconds)
    expect(config.times.pingIntervalMs).toBe(pingIntervalMs)
  })

  test('a balancer gives up on a node before the deadline of a handshake', async () => {
    const haproxy = await readFile(`${REPOSITORY}deploy/haproxy.cfg`, 'utf8')
    expect(seconds(haproxy, /timeout connect (\d+)s/) * 1_000).toBeLessThan(config.limits.handshakeMs)
    expect(seconds(haproxy, /timeout check (\d+)s/) * 1_000).toBeLessThan(config.times.nodeLeaseMs)
  })
})

import { readFile } from 'node:fs/promises'
import { checkTimes, defaultTimes } from '@peerage/core'
import { beforeAll, describe, expect, test } from 'vitest'
import { z } from 'zod'
import {
  configSchema,
  type Config,
  readYaml,
  nodeDefinition,
  resolve,
} from '@peerage/test-support/testing/server.js'
import { REPOSITORY } from '@peerage/test-support/node.js'
import { mistakesOf } from './kubernetes-schemas.js'
import {
  deploymentSchema,
  filesThere,
  find,
  K8S,
  manifestFiles,
  renderManifests,
  type Deployment,
  type Manifest,
} from './manifests.js'

const configMapSchema = z.looseObject({ data: z.record(z.string(), z.string()) })
const selector = z.object({ matchLabels: z.record(z.string(), z.string()) })
const serviceSchema = z.looseObject({
  spec: z.looseObject({
    type: z.string(),
    externalTrafficPolicy: z.string().optional(),
    selector: z.record(z.string(), z.string()),
    ports: z.array(z.looseObject({ name: z.string(), targetPort: z.string(), protocol: z.string() })),
  }),
})

const POD_IP = '10.244.1.7'

let manifests: Manifest[]
let node: Deployment
let config: Config

/** The value of an environment variable of a node in a pod with the address POD_IP. */
function variable(name: string): string {
  const found = containerOf(node).env?.find((one) => one.name === name)
  if (found === undefined || !('value' in found)) throw new Error(`no ${name}`)
  return found.value.replaceAll('$(POD_IP)', POD_IP)
}

beforeAll(async () => {
  manifests = await renderManifests()
  node = find(manifests, 'Deployment', 'peerage', deploymentSchema)
  const text = find(manifests, 'ConfigMap', 'peerage', configMapSchema).data['peerage.yaml'] ?? ''
  const layers = [
    readYaml({ name: 'peerage.yaml', text }, { leaves: nodeDefinition.leaves, readFile: () => '' }),
  ]
  // The secrets come from files. Here any value is enough.
  const secret = { value: 'x'.repeat(32), source: 'test' }
  layers.push({
    values: new Map([
      ['redis.password', secret],
      ['p2p.turn.secret', secret],
      ['links.advertise', { value: variable('PEERAGE_LINKS_ADVERTISE'), source: 'test' }],
    ]),
    problems: [],
  })
  const loaded = resolve(nodeDefinition, layers)
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems))
  config = loaded.config
})

const deployments = (): Deployment[] =>
  manifests.filter(({ kind }) => kind === 'Deployment').map((one) => deploymentSchema.parse(one))
const containerOf = (
  deployment: Deployment,
): Deployment['spec']['template']['spec']['containers'][number] => {
  const [container] = deployment.spec.template.spec.containers
  if (container === undefined) throw new Error('no container')
  return container
}

describe('the manifests', () => {
  test('every file has one object, and every file is rendered', async () => {
    expect((await manifestFiles()).sort()).toEqual((await filesThere()).sort())
    expect(manifests).toHaveLength((await manifestFiles()).length)
    for (const name of await manifestFiles())
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
        // The first is the pod's address, and the second is its address for the other nodes.
        if (variable.name === 'POD_IP' || variable.name === 'PEERAGE_LINKS_ADVERTISE') continue
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
        capabilities: { drop: ['ALL'] },
      })
    }
  })

  test('coturn has exactly the hardened file, and a version without known vulnerabilities', async () => {
    const { data } = find(manifests, 'ConfigMap', 'coturn', configMapSchema)
    expect(data['turnserver.conf']).toBe(await readFile(`${REPOSITORY}deploy/turnserver.conf`, 'utf8'))
    const coturn = containerOf(find(manifests, 'Deployment', 'coturn', deploymentSchema))
    expect(coturn.image).toMatch(/^coturn\/coturn:4\.(1[7-9]|[2-9]\d)\./)
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
    expect(ports).toEqual({ http: config.port, metrics: config.admin.port, links: config.links.port })
    expect(config.open).toBe(false)
  })

  test('nodes reach each other at their pods’ addresses, and only nodes can reach the port for links', () => {
    expect(containerOf(node).env?.find(({ name }) => name === 'POD_IP')).toEqual({
      name: 'POD_IP',
      valueFrom: { fieldRef: { fieldPath: 'status.podIP' } },
    })
    expect(config.links).toMatchObject({ advertise: `${POD_IP}:${config.links.port}`, plain: false })
    const peer = z.looseObject({ podSelector: selector.optional() })
    const ports = z.array(z.object({ port: z.union([z.number(), z.string()]), protocol: z.string() }))
    const schema = z.looseObject({
      spec: z.looseObject({
        ingress: z.array(z.object({ from: z.array(peer).optional(), ports })),
        egress: z.array(z.object({ to: z.array(peer).optional(), ports })),
      }),
    })
    const { ingress, egress } = find(manifests, 'NetworkPolicy', 'peerage', schema).spec
    const nodes = [{ podSelector: node.spec.selector }]
    const isLinks = ({ ports: listed }: { ports: z.output<typeof ports> }): boolean =>
      listed.some(({ port }) => port === 'links' || port === config.links.port)
    expect(ingress.filter(isLinks).map(({ from }) => from)).toEqual([nodes])
    expect(egress.filter(isLinks).map(({ to }) => to)).toEqual([nodes])
    const service = find(manifests, 'Service', 'peerage', serviceSchema).spec
    expect(service.ports.map(({ targetPort }) => targetPort)).not.toContain('links')
  })

  test('a rollout replaces one node at a time, when a new one is ready', () => {
    expect(node.spec.strategy.rollingUpdate).toEqual({ maxSurge: 1, maxUnavailable: 0 })
    expect(node.spec.replicas).toBeUndefined()
  })

  test('the autoscaler counts connections, leaves room for the peers of a lost node, and scales down slowly', () => {
    const schema = z.looseObject({
      spec: z.looseObject({
        minReplicas: z.number(),
        metrics: z.array(
          z.object({
            type: z.literal('Pods'),
            pods: z.object({
              metric: z.object({ name: z.string() }),
              target: z.object({ type: z.literal('AverageValue'), averageValue: z.coerce.number() }),
            }),
          }),
        ),
        behavior: z.looseObject({
          scaleDown: z.object({
            stabilizationWindowSeconds: z.number(),
            policies: z.array(z.object({ type: z.string(), value: z.number(), periodSeconds: z.number() })),
          }),
        }),
      }),
    })
    const { minReplicas, metrics, behavior } = find(
      manifests,
      'HorizontalPodAutoscaler',
      'peerage',
      schema,
    ).spec
    expect(metrics.map(({ pods }) => pods.metric.name)).toEqual(['peerage_connections'])
    const wanted = metrics[0]?.pods.target.averageValue ?? Number.NaN
    expect((wanted * minReplicas) / (minReplicas - 1)).toBeLessThan(config.limits.node.connections)
    const { stabilizationWindowSeconds, policies } = behavior.scaleDown
    const { terminationGracePeriodSeconds: graceSeconds } = node.spec.template.spec
    expect(stabilizationWindowSeconds).toBeGreaterThanOrEqual(600)
    for (const { value, periodSeconds } of policies)
      expect([value, periodSeconds > graceSeconds]).toEqual([1, true])
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

import { execFile } from 'node:child_process'
import { cp, mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, beforeAll, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { makeDirectory, removeDirectory } from '@peerage/test-support/fixture.js'
import { REPOSITORY } from '@peerage/test-support/node.js'
import { childEnvironment, run } from '@peerage/test-support/process.js'
import { loadConfig } from '@peerage/test-support/testing/server.js'
import { mistakesOf } from './kubernetes-schemas.js'
import {
  configMapSchema,
  containerOf,
  deploymentSchema,
  find,
  givenTo,
  K8S,
  kubectl,
  OVERLAYS,
  POD_IP,
  renderManifests,
  type Deployment,
  type Manifest,
} from './manifests.js'

const execute = promisify(execFile)
const selector = z.object({ matchLabels: z.record(z.string(), z.string()) })
const peer = z.looseObject({ podSelector: selector.optional(), namespaceSelector: selector.optional() })
const ports = z.array(z.object({ port: z.union([z.number(), z.string()]), protocol: z.string() }))
const policySchema = z.looseObject({
  spec: z.looseObject({
    podSelector: selector,
    ingress: z.array(z.object({ from: z.array(peer).optional(), ports })),
    egress: z.array(z.object({ to: z.array(peer).optional(), ports })).default([]),
  }),
})
const serviceSchema = z.looseObject({
  metadata: z.looseObject({ labels: z.record(z.string(), z.string()) }),
  spec: z.looseObject({
    type: z.string(),
    selector: z.record(z.string(), z.string()),
    ports: z.array(z.looseObject({ targetPort: z.string() })),
  }),
})

const rendered = new Map<string, Manifest[]>()
const of = (folder: string): Manifest[] => {
  const found = rendered.get(folder)
  if (found === undefined) throw new Error(`${folder} was not rendered`)
  return found
}
const nodeOf = (folder: string): Deployment => find(of(folder), 'Deployment', 'peerage', deploymentSchema)
const portsOf = (folder: string): string[] => containerOf(nodeOf(folder)).ports.map(({ name }) => name)
const policy = (folder: string, name: string): z.output<typeof policySchema>['spec'] =>
  find(of(folder), 'NetworkPolicy', name, policySchema).spec

const directories: string[] = []
afterEach(async () => {
  await Promise.all(directories.splice(0).map(removeDirectory))
})

/** What `peerage check-config` prints in a pod of these manifests. Rejects with its errors. */
async function checkConfig(manifests: readonly Manifest[]): Promise<string> {
  const { env, file, files } = givenTo(manifests)
  const root = await makeDirectory('peerage-k8s-')
  directories.push(root)
  const inRoot = (text: string): string => text.replaceAll('/run/secrets/', `${root}/secrets/`)
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(inRoot(path)), { recursive: true })
    await writeFile(inRoot(path), text)
  }
  const given = Object.fromEntries(Object.entries(env).map(([name, value]) => [name, inRoot(value)]))
  if (file !== undefined) {
    given['PEERAGE_CONFIG'] = join(root, 'peerage.yaml')
    await writeFile(given['PEERAGE_CONFIG'], inRoot(file))
  }
  const binary = `${REPOSITORY}packages/server/bin/peerage.js`
  const { stdout } = await execute(process.execPath, [binary, 'check-config'], {
    env: childEnvironment(given),
  })
  return stdout
}

describe.skipIf(kubectl === undefined)('the overlays', () => {
  beforeAll(async () => {
    for (const name of OVERLAYS) rendered.set(name, await renderManifests(`overlays/${name}`))
    rendered.set('base', await renderManifests('base'))
    rendered.set('.', await renderManifests())
  })

  test('k8s itself is the base', () => {
    expect(of('.')).toEqual(of('base'))
  })

  test.each(OVERLAYS)('%s: every object is valid and has no unknown fields', (name) => {
    for (const manifest of of(name))
      expect([manifest.metadata.name, mistakesOf(manifest)]).toEqual([manifest.metadata.name, []])
  })

  test.each(['base', ...OVERLAYS])('%s: peerage check-config accepts its settings', async (name) => {
    expect(await checkConfig(of(name))).toBe('the configuration is fine\n')
  })

  test('check-config refuses a setting that the manifests misspell', async () => {
    const text = JSON.stringify(of('all')).replace('PEERAGE_LINKS_PORT', 'PEERAGE_LINK_PORT')
    const broken: Manifest[] = JSON.parse(text)
    await expect(checkConfig(broken)).rejects.toThrow('PEERAGE_LINK_PORT')
  })

  test.each(['links', 'all'])(
    '%s: nodes reach each other at their pods’ addresses, and only nodes can',
    (name) => {
      const { links } = loadConfig(givenTo(of(name)))
      expect(links).toMatchObject({ advertise: `${POD_IP}:${links.port}`, host: '0.0.0.0', plain: false })
      const container = containerOf(nodeOf(name))
      expect(container.env?.find((one) => one.name === 'POD_IP')).toEqual({
        name: 'POD_IP',
        valueFrom: { fieldRef: { fieldPath: 'status.podIP' } },
      })
      expect(container.ports).toContainEqual({ name: 'links', containerPort: links.port, protocol: 'TCP' })
      const nodes = [{ podSelector: nodeOf(name).spec.selector }]
      const { podSelector, ingress, egress } = policy(name, 'peerage-links')
      expect(podSelector).toEqual(nodeOf(name).spec.selector)
      expect(ingress).toEqual([{ from: nodes, ports: [{ port: 'links', protocol: 'TCP' }] }])
      expect(egress).toEqual([{ to: nodes, ports: [{ port: links.port, protocol: 'TCP' }] }])
    },
  )

  test.each(['apps', 'all'])(
    '%s: the API has a port of its own, which only labelled namespaces reach',
    (name) => {
      const { api, apps, port } = loadConfig(givenTo(of(name)))
      expect(Object.keys(apps)).toEqual(['chat', 'games'])
      expect(api.port).not.toBe(port)
      expect(containerOf(nodeOf(name)).ports).toContainEqual({
        name: 'api',
        containerPort: api.port,
        protocol: 'TCP',
      })
      expect(policy(name, 'peerage-api').ingress).toEqual([
        {
          from: [{ namespaceSelector: { matchLabels: { 'peerage/api': 'true' } } }],
          ports: [{ port: 'api', protocol: 'TCP' }],
        },
      ])
      const { metadata, spec } = find(of(name), 'Service', 'peerage-api', serviceSchema)
      expect(spec.selector).toEqual(nodeOf(name).spec.selector.matchLabels)
      expect(spec.ports.map(({ targetPort }) => targetPort)).toEqual(['api'])
      // The ServiceMonitor selects Services by these labels.
      expect(metadata.labels).not.toHaveProperty('app.kubernetes.io/name')
    },
  )

  test('apps: the file of the apps keeps its name when it changes, so that SIGHUP is enough', () => {
    expect(
      of('apps').some(({ kind, metadata }) => kind === 'ConfigMap' && metadata.name === 'peerage-apps'),
    ).toBe(true)
  })

  test.each(['gateways', 'all'])('%s: the four wires are on, and no port is added for them', (name) => {
    const { yWebrtc, webtorrent, trystero, matchbox } = loadConfig(givenTo(of(name)))
    expect([yWebrtc, webtorrent, trystero, matchbox].map(({ enabled }) => enabled)).toEqual(
      Array(4).fill(true),
    )
    if (name === 'gateways') expect(portsOf(name)).toEqual(portsOf('base'))
    const ingress = z.looseObject({
      metadata: z.looseObject({ annotations: z.record(z.string(), z.string()) }),
    })
    expect(find(of(name), 'Ingress', 'peerage', ingress).metadata.annotations).toMatchObject({
      'haproxy.org/backend-config-snippet': 'http-request set-log-level silent if { query -m found }',
    })
  })

  test('all: it has every object and every setting of the three others', () => {
    const names = (folder: string): string[] =>
      of(folder).map(({ kind, metadata }) => `${kind} ${metadata.name}`)
    const settings = (folder: string): Record<string, string> =>
      find(of(folder), 'ConfigMap', 'peerage', configMapSchema).data
    const unhashed = (folder: string): string[] =>
      names(folder).map((name) => name.replace(/-[a-z0-9]{10}$/, ''))
    for (const name of ['links', 'apps', 'gateways']) {
      expect(unhashed('all')).toEqual(expect.arrayContaining(unhashed(name)))
      expect(settings('all')).toMatchObject(settings(name))
      expect(portsOf('all')).toEqual(expect.arrayContaining(portsOf(name)))
    }
  })

  test('the base has none of them', () => {
    const { links, api, apps, yWebrtc } = loadConfig(givenTo(of('base')))
    expect([links.host, api.port, Object.keys(apps), yWebrtc.enabled]).toEqual([null, null, [], false])
    expect(portsOf('base')).toEqual(['http', 'metrics'])
  })

  test('a change of the settings changes the name of the ConfigMap, and so restarts the nodes', () => {
    const nameIn = (folder: string): string | undefined =>
      containerOf(nodeOf(folder)).envFrom?.[0]?.configMapRef.name
    expect(new Set(['base', ...OVERLAYS].map(nameIn)).size).toBe(5)
  })

  test('the image can be given by a digest', async () => {
    const root = await makeDirectory('peerage-k8s-')
    directories.push(root)
    await cp(K8S, root, { recursive: true })
    const file = join(root, 'base', 'kustomization.yaml')
    const digest = `sha256:${'0a'.repeat(32)}`
    const text = await readFile(file, 'utf8')
    await writeFile(file, text.replace(/newTag: .+/, `digest: ${digest}`))
    const found = await run(kubectl ?? '', ['kustomize', join(root, 'overlays', 'all')])
    expect(found.match(/image: peerage\b.*/g)).toEqual(Array(2).fill(`image: peerage@${digest}`))
  })

  test('the root file names every component, each as a comment', async () => {
    const text = await readFile(`${K8S}/kustomization.yaml`, 'utf8')
    for (const name of ['links', 'apps', 'gateways']) expect(text).toContain(`#   - components/${name}\n`)
  })
})

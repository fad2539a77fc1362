import { parseArgs } from 'node:util'
import { z } from 'zod'
import { requireKnown } from '@peerage/test-support/usage.js'
import { deploymentSchema, find, K8S, objectsIn, OVERLAYS, type Manifest } from '../deploy/manifests.js'
import { buildPrograms, missingTools, type Programs } from './build.js'
import { startControlPlane, type Answer, type ControlPlane } from './control-plane.js'

interface Case {
  name: string
  play: (server: ControlPlane) => Promise<void>
}

/** The folder of each set of manifests, below k8s/; the base is also what `kubectl apply -k k8s` applies. */
const FOLDERS = ['.', ...OVERLAYS.map((name) => `overlays/${name}`)]
const NAMESPACES = [`${K8S}/base/namespace.yaml`, `${K8S}/base/turn-namespace.yaml`]
/** coturn uses the machine's own network, which the baseline policy does not allow. Its namespace warns of that. */
const COTURN_WARNING =
  /^Warning: would violate PodSecurity "baseline:latest": host namespaces \(hostNetwork=true\)(?:, hostPort \(container "coturn" uses hostPorts? [\d, ]+\))?$/

const warningsOf = ({ errors }: Answer): string[] => errors.split('\n').filter((line) => line !== '')

/** Fails unless the answer is a success, and all its warnings are those of coturn. */
function accepted(answer: Answer, what: string): void {
  if (answer.code !== 0) throw new Error(`${what} was refused:\n${answer.errors}`)
  const others = warningsOf(answer).filter((line) => !COTURN_WARNING.test(line))
  if (others.length > 0) throw new Error(`${what} has warnings:\n${others.join('\n')}`)
}

/** Fails unless the API server refuses the object with a message that matches. */
async function refused(server: ControlPlane, object: object, message: RegExp): Promise<void> {
  const answer = await server.kubectl([...APPLY, '--dry-run=server', '-f', '-'], JSON.stringify(object))
  if (answer.code === 0) throw new Error(`accepted, and not refused with ${String(message)}`)
  if (!message.test(answer.errors)) throw new Error(`refused for another reason:\n${answer.errors}`)
}

const APPLY = ['apply', '--server-side', '--validate=strict', '--field-manager=test']

async function render(server: ControlPlane, folder: string): Promise<Manifest[]> {
  return objectsIn(await server.must(['kustomize', `${K8S}/${folder}`]))
}

/** The pod that a controller would make from a Deployment. */
function podOf(manifest: Manifest): object {
  const { template } = z
    .object({
      spec: z.object({ template: z.looseObject({ metadata: z.looseObject({}), spec: z.looseObject({}) }) }),
    })
    .parse(manifest).spec
  const { name, namespace } = manifest.metadata
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { ...template.metadata, name: `${name}-by-hand`, namespace },
    spec: template.spec,
  }
}

/** A text of the node's Deployment with a change; fails if there is nothing to change. */
function changed(manifests: readonly Manifest[], from: string, to: string): object {
  const text = JSON.stringify(find(manifests, 'Deployment', 'peerage', deploymentSchema))
  if (!text.includes(from)) throw new Error(`the Deployment does not have ${from}`)
  return z.looseObject({}).parse(JSON.parse(text.replace(from, to)))
}

const cases: readonly Case[] = [
  ...FOLDERS.map((folder) => ({
    name: `${folder === '.' ? 'the base' : folder}: a dry run is accepted, and warns of nothing but coturn's network`,
    play: async (server: ControlPlane) =>
      accepted(await server.kubectl([...APPLY, '--dry-run=server', '-k', `${K8S}/${folder}`]), folder),
  })),
  {
    name: 'a misspelled field, a wrong type and a missing selector are refused',
    play: async (server) => {
      const manifests = await render(server, '.')
      await refused(
        server,
        changed(manifests, '"maxUnavailable":0', '"maxUnavailible":0'),
        /maxUnavailible: field not declared in schema/,
      )
      await refused(server, changed(manifests, '"runAsNonRoot":true', '"runAsNonRoot":"yes"'), /runAsNonRoot/)
      await refused(server, changed(manifests, '"selector":', '"selektor":'), /selektor|selector/)
    },
  },
  {
    name: 'each overlay is applied for real, one after the other, and a second apply changes nothing',
    play: async (server) => {
      for (const folder of FOLDERS) {
        accepted(await server.kubectl([...APPLY, '-k', `${K8S}/${folder}`]), folder)
        const before = await server.must([
          'get',
          'deployment,service,ingress,networkpolicy',
          '-A',
          '-o',
          'json',
        ])
        accepted(await server.kubectl([...APPLY, '-k', `${K8S}/${folder}`]), folder)
        const after = await server.must([
          'get',
          'deployment,service,ingress,networkpolicy',
          '-A',
          '-o',
          'json',
        ])
        if (generations(before) !== generations(after))
          throw new Error(`${folder}: a second apply changed objects`)
      }
    },
  },
  {
    name: 'admission lets the pods of every Deployment in, as restricted ones, and coturn in its own namespace',
    play: async (server) => {
      const manifests = await render(server, 'overlays/all')
      accepted(await server.kubectl([...APPLY, '-k', `${K8S}/overlays/all`]), 'overlays/all')
      for (const deployment of manifests.filter(({ kind }) => kind === 'Deployment'))
        accepted(
          await server.kubectl(['create', '--validate=strict', '-f', '-'], JSON.stringify(podOf(deployment))),
          `the pod of ${deployment.metadata.name}`,
        )
    },
  },
  {
    name: 'admission refuses a pod with privileges in the namespace of the nodes',
    play: async (server) => {
      const manifests = await render(server, '.')
      accepted(await server.kubectl([...APPLY, '-k', K8S]), 'k8s')
      const [node] = manifests.filter(
        ({ kind, metadata }) => kind === 'Deployment' && metadata.name === 'peerage',
      )
      if (node === undefined) throw new Error('there is no Deployment peerage')
      const text = JSON.stringify(podOf(node)).replace(
        '"allowPrivilegeEscalation":false',
        '"allowPrivilegeEscalation":true',
      )
      const answer = await server.kubectl(['create', '--dry-run=server', '-f', '-'], text)
      if (answer.code === 0) throw new Error('the pod was let in')
      if (!/violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false/.test(answer.errors))
        throw new Error(`refused for another reason:\n${answer.errors}`)
    },
  },
]

const listSchema = z.object({
  items: z.array(
    z.looseObject({
      kind: z.string(),
      metadata: z.looseObject({ name: z.string(), namespace: z.string(), resourceVersion: z.string() }),
    }),
  ),
})

/** One line for each object, which changes whenever the object does. */
function generations(list: string): string {
  const { items } = listSchema.parse(JSON.parse(list))
  return items
    .map(({ kind, metadata }) => `${kind} ${metadata.namespace}/${metadata.name} ${metadata.resourceVersion}`)
    .join('\n')
}

/** What a cluster has before our manifests: the namespaces, the CRD of the Prometheus Operator, and a service account. */
async function prepare(server: ControlPlane, { serviceMonitor }: Programs): Promise<void> {
  await server.must([...APPLY, '-f', serviceMonitor])
  await server.must(['wait', '--for=condition=Established', '--timeout=30s', '-f', serviceMonitor])
  for (const file of NAMESPACES) await server.must([...APPLY, '-f', file])
  // A controller makes it in a cluster with controllers.
  await server.must(['-n', 'peerage-turn', 'create', 'serviceaccount', 'default'])
}

export const USAGE = `npm run test:kubernetes -- [--only PART-OF-A-NAME]
Gives the manifests of k8s/ to a real Kubernetes API server with its etcd, on loopback. It needs kubectl and Go 1.26: both
servers are built from Go modules, once, which takes ten minutes. No controller and no kubelet runs, so no pod starts.`

/** `npm run test:kubernetes`. Resolves with the exit code: 0, or 1 if a case failed or a tool is missing. */
export async function main(args: string[]): Promise<number> {
  const { values } = parseArgs({ args, options: { only: { type: 'string', default: '' } } })
  const chosen = cases.filter(({ name }) => name.includes(values.only))
  const names = cases.map(({ name }) => name)
  if (chosen.length === 0) requireKnown('case', [values.only], names)
  const missing = missingTools()
  for (const line of missing) console.error(line)
  if (missing.length > 0) return 1
  const programs = await buildPrograms((line) => console.log(line))
  let failed = 0
  for (const each of chosen) {
    const begun = performance.now()
    const error = await play(each, programs).then(
      () => undefined,
      (reason: unknown) => reason,
    )
    if (error !== undefined) failed++
    const seconds = ((performance.now() - begun) / 1_000).toFixed(1)
    console.log(`${error === undefined ? '✓' : '✗'} ${each.name} (${seconds} s)`)
    if (error !== undefined) console.error(error)
  }
  console.log(`\n${chosen.length - failed} passed, ${failed} failed`)
  return failed === 0 ? 0 : 1
}

/** Plays one case with servers of its own, and ends them. */
async function play({ play: act }: Case, programs: Programs): Promise<void> {
  const server = await startControlPlane(programs)
  try {
    await prepare(server, programs)
    await act(server)
  } finally {
    await server.stop()
  }
}

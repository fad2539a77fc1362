import { readFile, readdir } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { parseAllDocuments } from 'yaml'
import { z } from 'zod'
import { announce, locate } from '@peerage/test-support/binary.js'
import { REPOSITORY } from '@peerage/test-support/node.js'
import { run } from '@peerage/test-support/process.js'

/** The fields of every Kubernetes object. */
const objectSchema = z.looseObject({
  apiVersion: z.string(),
  kind: z.string(),
  metadata: z.looseObject({ name: z.string(), namespace: z.string().optional() }),
})
export type Manifest = z.output<typeof objectSchema>

const RENDER_DEADLINE_MS = 30_000
export const K8S = `${REPOSITORY}k8s`
const BASE = `${K8S}/base`

/** The parts that can be added to the base, by the names of their overlays; `all` has all of them. */
export const OVERLAYS = ['links', 'apps', 'gateways', 'all'] as const

export const kubectl = locate('kubectl')

/**
 * The objects of a folder as `kubectl kustomize` renders them; `k8s` itself is the base. Without kubectl it reads the files
 * of the base, and prints a notice; overlays then cannot be rendered.
 */
export async function renderManifests(folder = ''): Promise<Manifest[]> {
  if (kubectl !== undefined) {
    announce('kubectl: system binary')
    return objectsIn(await run(kubectl, ['kustomize', `${K8S}/${folder}`], RENDER_DEADLINE_MS))
  }
  announce(
    'kubectl: NOT INSTALLED, and Debian has no package of it. The files of k8s/base are read one by one, and kustomize is NOT checked.',
  )
  if (folder !== '') throw new Error(`kubectl is missing: k8s/${folder} cannot be rendered without it`)
  const texts = await Promise.all((await manifestFiles()).map((name) => readFile(`${BASE}/${name}`, 'utf8')))
  const data = variablesIn(await readFile(`${BASE}/peerage.env`, 'utf8'))
  const settings = {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'peerage', namespace: 'peerage' },
    data,
  }
  return [...texts.flatMap(objectsIn), settings]
}

/** The lines NAME=value of a file for configMapGenerator. */
function variablesIn(text: string): Record<string, string> {
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  return Object.fromEntries(
    lines.map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
  )
}

/** The files that base/kustomization.yaml lists as resources. */
export async function manifestFiles(): Promise<string[]> {
  const text = await readFile(`${BASE}/kustomization.yaml`, 'utf8')
  const [kustomization] = parseAllDocuments(text)
  return z.object({ resources: z.array(z.string()) }).parse(kustomization?.toJS()).resources
}

/** Every file below k8s/, relative to it. */
export async function filesThere(): Promise<string[]> {
  const found = await readdir(K8S, { recursive: true, withFileTypes: true })
  return found.filter((one) => one.isFile()).map((one) => relative(K8S, join(one.parentPath, one.name)))
}

/** The objects of a text of YAML documents. */
export function objectsIn(text: string): Manifest[] {
  return parseAllDocuments(text).map((document) => {
    // Syntax errors of YAML, such as a duplicate key, a tab or a broken anchor.
    const [mistake] = document.errors
    if (mistake !== undefined) throw mistake
    return objectSchema.parse(document.toJS())
  })
}

/** The hash that kustomize adds to the name of a ConfigMap that it makes from a file. */
const HASH = /-[a-z0-9]{10}$/

/** The only object of this kind and name, parsed with `schema`. A ConfigMap may have a hash after its name. */
export function find<T>(manifests: readonly Manifest[], kind: string, name: string, schema: z.ZodType<T>): T {
  const isIt = (found: string): boolean =>
    found === name || (kind === 'ConfigMap' && found.replace(HASH, '') === name)
  const found = manifests.filter((one) => one.kind === kind && isIt(one.metadata.name))
  if (found.length !== 1) throw new Error(`${found.length} objects ${kind}/${name}`)
  return schema.parse(found[0])
}

const securityContext = z.looseObject({
  runAsNonRoot: z.boolean().optional(),
  runAsUser: z.number().optional(),
  seccompProfile: z.object({ type: z.string() }).optional(),
  allowPrivilegeEscalation: z.boolean().optional(),
  readOnlyRootFilesystem: z.boolean().optional(),
  capabilities: z.object({ drop: z.array(z.string()), add: z.array(z.string()).optional() }).optional(),
})
const probe = z.looseObject({
  httpGet: z.object({ path: z.string(), port: z.string() }).optional(),
  tcpSocket: z.object({ port: z.string() }).optional(),
  exec: z.object({ command: z.array(z.string()) }).optional(),
  terminationGracePeriodSeconds: z.number().optional(),
})
const labels = z.record(z.string(), z.string())

/** The fields of a Deployment that the tests compare. */
export const deploymentSchema = z.looseObject({
  spec: z.looseObject({
    replicas: z.number().optional(),
    strategy: z.looseObject({
      rollingUpdate: z.object({ maxSurge: z.number(), maxUnavailable: z.number() }).optional(),
    }),
    selector: z.object({ matchLabels: labels }),
    template: z.object({
      metadata: z.object({ labels }),
      spec: z.looseObject({
        serviceAccountName: z.string().optional(),
        automountServiceAccountToken: z.boolean(),
        enableServiceLinks: z.boolean(),
        terminationGracePeriodSeconds: z.number(),
        topologySpreadConstraints: z
          .array(z.looseObject({ labelSelector: z.object({ matchLabels: labels }) }))
          .optional(),
        securityContext,
        containers: z.array(
          z.looseObject({
            name: z.string(),
            image: z.string(),
            args: z.array(z.string()).optional(),
            command: z.array(z.string()).optional(),
            envFrom: z.array(z.object({ configMapRef: z.object({ name: z.string() }) })).optional(),
            env: z
              .array(
                z.union([
                  z.object({ name: z.string(), value: z.string() }),
                  z.object({
                    name: z.string(),
                    valueFrom: z.object({ fieldRef: z.object({ fieldPath: z.string() }) }),
                  }),
                ]),
              )
              .optional(),
            ports: z.array(
              z.object({ name: z.string(), containerPort: z.number(), protocol: z.enum(['TCP', 'UDP']) }),
            ),
            resources: z.object({
              requests: z.object({ cpu: z.string(), memory: z.string() }),
              limits: z.object({ memory: z.string() }),
            }),
            livenessProbe: probe,
            readinessProbe: probe,
            lifecycle: z.object({ preStop: z.object({ sleep: z.object({ seconds: z.number() }) }) }),
            securityContext,
            volumeMounts: z.array(z.looseObject({ name: z.string(), mountPath: z.string() })).optional(),
          }),
        ),
        volumes: z.array(z.looseObject({ name: z.string() })).optional(),
      }),
    }),
  }),
})
export type Deployment = z.output<typeof deploymentSchema>

export const configMapSchema = z.looseObject({ data: z.record(z.string(), z.string()) })

/** The only container of a Deployment. */
export function containerOf(
  deployment: Deployment,
): Deployment['spec']['template']['spec']['containers'][number] {
  const [container, ...others] = deployment.spec.template.spec.containers
  if (container === undefined || others.length > 0) throw new Error('not exactly one container')
  return container
}

/** The address of the pod in `givenTo`. */
export const POD_IP = '10.244.1.7'

export interface GivenToNode {
  /** Its environment, as Kubernetes would make it. */
  env: Record<string, string>
  /** The file that PEERAGE_CONFIG names, if it is set. */
  file?: string
  /** A value for each file that the settings name: the secrets. */
  files: Record<string, string>
}

/** What a node of these manifests gets in a pod with the address POD_IP. */
export function givenTo(manifests: readonly Manifest[]): GivenToNode {
  const container = containerOf(find(manifests, 'Deployment', 'peerage', deploymentSchema))
  const env: Record<string, string> = {}
  for (const { configMapRef } of container.envFrom ?? [])
    Object.assign(
      env,
      find(manifests, 'ConfigMap', configMapRef.name.replace(HASH, ''), configMapSchema).data,
    )
  for (const variable of container.env ?? [])
    if ('value' in variable) env[variable.name] = variable.value.replaceAll('$(POD_IP)', POD_IP)
  const { PEERAGE_CONFIG: path, ...settings } = env
  const file =
    path === undefined
      ? {}
      : { file: find(manifests, 'ConfigMap', 'peerage-apps', configMapSchema).data['peerage.yaml'] ?? '' }
  const named = JSON.stringify({ settings, file }).match(/\/run\/secrets\/[\w./-]+/g) ?? []
  // Any value is enough, but no two secrets are the same.
  const files = named.map((name) => [name, name.replaceAll(/\W/g, '-').padEnd(64, 'x')])
  return { env: settings, ...file, files: Object.fromEntries(files) }
}

import { readFile, readdir } from 'node:fs/promises'
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

/** The objects of k8s/ as `kubectl kustomize` renders them. Without kubectl it reads the files, and prints a notice. */
export async function renderManifests(): Promise<Manifest[]> {
  const kubectl = locate('kubectl')
  if (kubectl !== undefined) {
    announce('kubectl: system binary')
    return parse(await run(kubectl, ['kustomize', K8S], RENDER_DEADLINE_MS))
  }
  announce(
    'kubectl: NOT INSTALLED, and Debian has no package of it. The files of k8s/ are read one by one, and kustomize is NOT checked.',
  )
  const texts = await Promise.all((await manifestFiles()).map((name) => readFile(`${K8S}/${name}`, 'utf8')))
  return texts.flatMap(parse)
}

/** The files that kustomization.yaml lists. */
export async function manifestFiles(): Promise<string[]> {
  const text = await readFile(`${K8S}/kustomization.yaml`, 'utf8')
  const [kustomization] = parseAllDocuments(text)
  return z.object({ resources: z.array(z.string()) }).parse(kustomization?.toJS()).resources
}

export async function filesThere(): Promise<string[]> {
  return (await readdir(K8S)).filter((name) => name !== 'kustomization.yaml')
}

function parse(text: string): Manifest[] {
  return parseAllDocuments(text).map((document) => {
    // Syntax errors of YAML, such as a duplicate key, a tab or a broken anchor.
    const [mistake] = document.errors
    if (mistake !== undefined) throw mistake
    return objectSchema.parse(document.toJS())
  })
}

/** The only object of this kind and name, parsed with `schema`. */
export function find<T>(manifests: readonly Manifest[], kind: string, name: string, schema: z.ZodType<T>): T {
  const found = manifests.filter((one) => one.kind === kind && one.metadata.name === name)
  if (found.length !== 1) throw new Error(`${found.length} objects ${kind}/${name}`)
  return schema.parse(found[0])
}

const securityContext = z.looseObject({
  runAsNonRoot: z.boolean().optional(),
  runAsUser: z.number().optional(),
  seccompProfile: z.object({ type: z.string() }).optional(),
  allowPrivilegeEscalation: z.boolean().optional(),
  readOnlyRootFilesystem: z.boolean().optional(),
  capabilities: z.object({ drop: z.array(z.string()) }).optional(),
})
const probe = z.looseObject({
  httpGet: z.object({ path: z.string(), port: z.string() }).optional(),
  tcpSocket: z.object({ port: z.string() }).optional(),
  exec: z.object({ command: z.array(z.string()) }).optional(),
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

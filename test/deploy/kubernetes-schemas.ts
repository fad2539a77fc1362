import { Deployment } from 'kubernetes-models/apps/v1/Deployment'
import { HorizontalPodAutoscaler } from 'kubernetes-models/autoscaling/v2/HorizontalPodAutoscaler'
import { Ingress } from 'kubernetes-models/networking.k8s.io/v1/Ingress'
import { NetworkPolicy } from 'kubernetes-models/networking.k8s.io/v1/NetworkPolicy'
import { PodDisruptionBudget } from 'kubernetes-models/policy/v1/PodDisruptionBudget'
import { ConfigMap } from 'kubernetes-models/v1/ConfigMap'
import { Namespace } from 'kubernetes-models/v1/Namespace'
import { Service } from 'kubernetes-models/v1/Service'
import { ServiceAccount } from 'kubernetes-models/v1/ServiceAccount'
import { z } from 'zod'
import type { Manifest } from './manifests.js'

/** Not a kind of Kubernetes itself, so its schema is written here, with only the fields that we use. */
const serviceMonitor = z.strictObject({
  apiVersion: z.literal('monitoring.coreos.com/v1'),
  kind: z.literal('ServiceMonitor'),
  metadata: z.looseObject({}),
  spec: z.strictObject({
    jobLabel: z.string(),
    selector: z.strictObject({ matchLabels: z.record(z.string(), z.string()) }),
    endpoints: z.array(
      z.strictObject({
        port: z.string(),
        path: z.string(),
        interval: z.string(),
        scrapeTimeout: z.string(),
      }),
    ),
  }),
})

type Model = new () => { validate(): void }
const MODELS: Readonly<Record<string, Model>> = {
  'apps/v1 Deployment': Deployment,
  'autoscaling/v2 HorizontalPodAutoscaler': HorizontalPodAutoscaler,
  'networking.k8s.io/v1 Ingress': Ingress,
  'networking.k8s.io/v1 NetworkPolicy': NetworkPolicy,
  'policy/v1 PodDisruptionBudget': PodDisruptionBudget,
  'v1 ConfigMap': ConfigMap,
  'v1 Namespace': Namespace,
  'v1 Service': Service,
  'v1 ServiceAccount': ServiceAccount,
}

/** The errors of an object according to its schema: wrong types, missing fields and unknown fields. */
export function mistakesOf(manifest: Manifest): string[] {
  const kind = `${manifest.apiVersion} ${manifest.kind}`
  if (manifest.kind === 'ServiceMonitor') {
    const parsed = serviceMonitor.safeParse(manifest)
    return parsed.success ? [] : parsed.error.issues.map((one) => `${one.path.join('.')}: ${one.message}`)
  }
  const Model = MODELS[kind]
  if (Model === undefined) return [`${kind}: no schema`]
  const unread = new Set<string>()
  const watched = watchReads(manifest, '', unread)
  try {
    // We do not use the constructor, because it would copy every field, and so read every field.
    Object.assign(new Model(), watched).validate()
  } catch (error) {
    return [String(error)]
  }
  return [...unread].map((path) => `${path}: unknown`)
}

/**
 * Kubernetes' schemas allow unknown keys, which Kubernetes drops silently. The validators read every key in the schema, so
 * a key that they have not read is misspelled.
 */
function watchReads<T extends object>(value: T, path: string, unread: Set<string>): T {
  const inner = new Map<PropertyKey, unknown>()
  for (const [key, child] of Object.entries(value)) {
    const childPath = `${path}/${key}`
    // The models copy, and so read, all keys at the top level.
    if (!Array.isArray(value) && path !== '') unread.add(childPath)
    inner.set(key, typeof child === 'object' && child !== null ? watchReads(child, childPath, unread) : child)
  }
  return new Proxy(value, {
    get(target, key, receiver) {
      unread.delete(`${path}/${String(key)}`)
      return inner.has(key) ? inner.get(key) : Reflect.get(target, key, receiver)
    },
  })
}

import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, readFile, rename } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { z } from 'zod'
import { locate } from '@peerage/test-support/binary.js'
import { run } from '@peerage/test-support/process.js'

const PROGRAMS = fileURLToPath(new URL('./programs/', import.meta.url))
/** What is built here is kept: kube-apiserver alone takes some minutes. */
const CACHE = join(tmpdir(), 'peerage-kubernetes')
const BUILD_DEADLINE_MS = 40 * 60_000
const DOWNLOAD_DEADLINE_MS = 10 * 60_000
/** Heavy builds give way to everything else, and compile one package at a time, so that they need less memory. */
const NICE = 19

export const KUBERNETES_VERSION = 'v1.34.4'

/** A program of a Go module whose versions and checksums are in `programs`. */
interface GoProgram {
  name: string
  module: 'kubernetes' | 'etcd'
  /** The package within the module. */
  path: string
}

const ETCD: GoProgram = { name: 'etcd', module: 'etcd', path: '.' }
const API_SERVER: GoProgram = { name: 'kube-apiserver', module: 'kubernetes', path: './kube-apiserver' }

/** A module that is only read: it has the definition of ServiceMonitor. */
const PROMETHEUS_OPERATOR = {
  module: 'github.com/prometheus-operator/prometheus-operator@v0.85.0',
  sum: 'h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s=',
  file: 'example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml',
}

/** Says what this machine lacks, in one line for each; empty if it has everything. */
export function missingTools(): string[] {
  const advice = {
    kubectl: 'install kubectl 1.30 or later (https://kubernetes.io/docs/tasks/tools/)',
    go: 'install Go 1.26 or later (https://go.dev/dl/), which builds etcd and kube-apiserver',
  }
  return Object.entries(advice).flatMap(([name, what]) =>
    locate(name) === undefined ? [`${name} is missing: ${what}`] : [],
  )
}

export interface Programs {
  etcd: string
  apiServer: string
  /** The CustomResourceDefinition of ServiceMonitor, a file. */
  serviceMonitor: string
}

/** Builds what is not in the cache. `say` gets a line before each long step. */
export async function buildPrograms(say: (line: string) => void): Promise<Programs> {
  const etcd = await build(ETCD, say)
  const apiServer = await build(API_SERVER, say)
  return { etcd, apiServer, serviceMonitor: await serviceMonitorFile() }
}

async function build({ name, module, path }: GoProgram, say: (line: string) => void): Promise<string> {
  const folder = join(PROGRAMS, module)
  const sum = createHash('sha256').update(await readFile(join(folder, 'go.sum'), 'utf8'))
  const target = join(CACHE, `${name}-${sum.digest('hex').slice(0, 12)}`)
  if (existsSync(target)) return target
  say(`building ${name} from Go modules, once; some minutes`)
  await mkdir(CACHE, { recursive: true })
  // A build that was ended halfway must not count as finished.
  const partial = `${target}.${process.pid}`
  const version = `-X k8s.io/component-base/version.gitVersion=${KUBERNETES_VERSION}`
  const flags = ['-p', '1', '-buildvcs=false', `-ldflags=-s -w ${version}`]
  await run('go', ['-C', folder, 'build', ...flags, '-o', partial, path], BUILD_DEADLINE_MS, { nice: NICE })
  await rename(partial, target)
  return target
}

const downloaded = z.object({ Dir: z.string(), Sum: z.string() })

async function serviceMonitorFile(): Promise<string> {
  const { module, sum, file } = PROMETHEUS_OPERATOR
  const told = await run('go', ['mod', 'download', '-json', module], DOWNLOAD_DEADLINE_MS)
  const { Dir, Sum } = downloaded.parse(JSON.parse(told))
  if (Sum !== sum) throw new Error(`${module} has the checksum ${Sum} and not ${sum}: do not use it`)
  return join(Dir, file)
}

import { execFile } from 'node:child_process'
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { locate } from '@peerage/test-support/binary.js'
import { makeDirectory, removeDirectory } from '@peerage/test-support/fixture.js'
import { freePort } from '@peerage/test-support/ports.js'
import { eventually, startChild, type Child } from '@peerage/test-support/process.js'
import type { Programs } from './build.js'

const KUBECTL = locate('kubectl') ?? ''
const START_DEADLINE_MS = 90_000
const KUBECTL_DEADLINE_MS = 60_000

/** What kubectl answered. Warnings of the API server are in `errors`. */
export interface Answer {
  code: number
  output: string
  errors: string
}

/** An API server of Kubernetes with an etcd, on loopback. There are no controllers, so nothing runs. */
export interface ControlPlane {
  /** Runs kubectl as an administrator. `input` is its standard input. */
  kubectl(args: readonly string[], input?: string): Promise<Answer>
  /** As `kubectl`. Rejects unless it succeeds. */
  must(args: readonly string[], input?: string): Promise<string>
  /** Ends both, and removes what they stored. */
  stop(): Promise<void>
}

/** Starts both and waits until the API server is ready. */
export async function startControlPlane({ etcd, apiServer }: Programs): Promise<ControlPlane> {
  const directory = await makeDirectory('peerage-kubernetes-')
  const children: Child[] = []
  const stop = async (): Promise<void> => {
    await Promise.all(children.map((child) => child.stop()))
    await removeDirectory(directory)
  }
  try {
    const [store, peers, port] = [await freePort(), await freePort(), await freePort()]
    const storeUrl = `http://127.0.0.1:${store}`
    children.push(await startChild({ command: etcd, args: etcdArgs(directory, storeUrl, peers) }))
    const token = randomBytes(24).toString('hex')
    await writeFile(join(directory, 'tokens.csv'), `${token},admin,1,"system:masters"\n`, { mode: 0o600 })
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2_048 })
    const key = privateKey.export({ type: 'pkcs8', format: 'pem' })
    await writeFile(join(directory, 'accounts.pem'), key, { mode: 0o600 })
    const server = await startChild({ command: apiServer, args: apiServerArgs(directory, storeUrl, port) })
    children.push(server)
    const kubeconfig = join(directory, 'kubeconfig')
    await writeFile(kubeconfig, kubeconfigOf(directory, port, token), { mode: 0o600 })
    const kubectl = (args: readonly string[], input?: string): Promise<Answer> =>
      call(['--kubeconfig', kubeconfig, '--cache-dir', join(directory, 'cache'), ...args], input)
    const must = async (args: readonly string[], input?: string): Promise<string> => {
      const { code, output, errors } = await kubectl(args, input)
      if (code === 0) return output
      throw new Error(`kubectl ${args.join(' ')} ended with ${code}:\n${errors}${output}`)
    }
    const isReady = async (): Promise<true> => {
      await must(['get', '--raw', '/readyz'])
      return true
    }
    await eventually('the API server is ready', isReady, {
      deadlineMs: START_DEADLINE_MS,
      running: server,
      everyMs: 250,
    })
    return { kubectl, must, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

const etcdArgs = (directory: string, url: string, peers: number): string[] => {
  const peersUrl = `http://127.0.0.1:${peers}`
  return [
    `--data-dir=${join(directory, 'etcd')}`,
    `--listen-client-urls=${url}`,
    `--advertise-client-urls=${url}`,
    `--listen-peer-urls=${peersUrl}`,
    `--initial-advertise-peer-urls=${peersUrl}`,
    `--initial-cluster=default=${peersUrl}`,
    '--unsafe-no-fsync',
  ]
}

const apiServerArgs = (directory: string, storeUrl: string, port: number): string[] => [
  `--etcd-servers=${storeUrl}`,
  `--cert-dir=${join(directory, 'certificates')}`,
  '--bind-address=127.0.0.1',
  `--secure-port=${port}`,
  // It is reachable on loopback alone, so it must not announce an address.
  '--endpoint-reconciler-type=none',
  '--advertise-address=127.0.0.1',
  '--service-cluster-ip-range=10.96.0.0/16',
  '--service-account-issuer=https://kubernetes.default.svc',
  `--service-account-key-file=${join(directory, 'accounts.pem')}`,
  `--service-account-signing-key-file=${join(directory, 'accounts.pem')}`,
  `--token-auth-file=${join(directory, 'tokens.csv')}`,
  '--authorization-mode=RBAC',
]

/** kubectl trusts exactly the certificate that the API server made for itself. */
const kubeconfigOf = (directory: string, port: number, token: string): string =>
  JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [
      {
        name: 'test',
        cluster: {
          server: `https://127.0.0.1:${port}`,
          'certificate-authority': join(directory, 'certificates', 'apiserver.crt'),
        },
      },
    ],
    users: [{ name: 'admin', user: { token } }],
    contexts: [{ name: 'test', context: { cluster: 'test', user: 'admin' } }],
    'current-context': 'test',
  })

function call(args: readonly string[], input: string | undefined): Promise<Answer> {
  return new Promise((resolve) => {
    const options = { timeout: KUBECTL_DEADLINE_MS, maxBuffer: 1 << 26 }
    const child = execFile(KUBECTL, args, options, (error, output, errors) => {
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : 1
      resolve({ code, output, errors: errors === '' && error !== null ? error.message : errors })
    })
    // kubectl may end before it has read its input.
    child.stdin?.on('error', () => undefined)
    child.stdin?.end(input ?? '')
  })
}

import { createHmac, randomBytes } from 'node:crypto'
import { createSocket } from 'node:dgram'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { findTool } from './binary.js'
import type { Namespace } from './netns.js'
import { fixtureOf, makeDirectory, startServer, type Fixture, type ServerProgram } from './fixture.js'
import { freePortBoth } from './ports.js'

export const COTURN: ServerProgram = {
  name: 'coturn',
  binaries: ['turnserver'],
  debianPackage: 'coturn',
  version: { args: ['--version'], pattern: /(\d+\.\d+\.\d+)/ },
  image: 'coturn/coturn',
  tag: '4.6',
}

export interface CoturnOptions {
  /** The shared secret of the time-limited credentials; several during a rotation. */
  secret: string | readonly string[]
  realm?: string
  /**
   * The addresses that it listens on, by default loopback. It relays from the first one. With a second address it can
   * also report a NAT's behaviour (RFC 5780).
   */
  hosts?: readonly [string, ...string[]]
  port?: number
  /** Additional flags for turnserver. */
  args?: readonly string[]
  /** Runs it in this network namespace, always from a binary. `hosts` are then addresses of the namespace. */
  inside?: Pick<Namespace, 'start' | 'run'>
}

export interface TurnCredentials {
  username: string
  password: string
}

export interface Coturn extends Fixture {
  readonly host: string
  readonly port: number
  /** `turn:127.0.0.1:PORT?transport=udp`. */
  readonly turnUrl: string
  /** `stun:127.0.0.1:PORT`. */
  readonly stunUrl: string
  readonly realm: string
  /** Credentials made with the first secret, valid for `ttlSeconds` (negative: already expired). */
  credentials(name: string, ttlSeconds?: number): TurnCredentials
}

const START_DEADLINE_MS = 20_000
/** Inside a namespace each attempt is a process, and has this much more time than the previous attempt. */
const TRY_MS = 300
const PROBE_DEADLINE_MS = 3_000
const PROBE_EVERY_MS = 100
const RELAY_PORTS = { low: 49_152, high: 65_535 }

/**
 * The services that coturn up to 4.17 runs unless told otherwise; later versions run them only on request, and no longer
 * know these settings. They refuse an unknown flag, but only warn about an unknown line of a file.
 */
const CONFIG = 'turnserver.conf'
const ONLY_TURN = 'no-cli\nno-tls\nno-dtls\n'

/** Starts a TURN server that takes credentials made from a shared secret (TURN REST). */
export async function startCoturn(options: CoturnOptions): Promise<Coturn> {
  const directory = await makeDirectory('coturn')
  const hosts = options.hosts ?? ['127.0.0.1']
  await writeFile(join(directory, CONFIG), ONLY_TURN)
  const [host] = hosts
  const port = options.port ?? (await freePortBoth())
  const realm = options.realm ?? 'peerage'
  const secrets = typeof options.secret === 'string' ? [options.secret] : options.secret
  const [secret] = secrets
  if (secret === undefined) throw new Error('coturn needs a secret')
  const args = [...turnserverArguments({ hosts, port, realm, secrets, directory }), ...(options.args ?? [])]
  const { inside } = options
  let tries = 0
  const running = await startServer(COTURN, {
    args,
    directory,
    ready: {
      what: `coturn on port ${port} answers a binding request`,
      probe: () =>
        inside === undefined ? probeStun(host, port) : probeInside(inside, host, port, ++tries * TRY_MS),
      deadlineMs: START_DEADLINE_MS,
    },
    ...(inside === undefined ? {} : { inside }),
  })
  return {
    host,
    port,
    realm,
    turnUrl: `turn:${host}:${port}?transport=udp`,
    stunUrl: `stun:${host}:${port}`,
    credentials: (name, ttlSeconds = 600) => turnCredentials(secret, name, ttlSeconds),
    ...fixtureOf(running, directory),
  }
}

async function probeInside(
  inside: Pick<Namespace, 'run'>,
  host: string,
  port: number,
  withinMs: number,
): Promise<true | undefined> {
  // The client asks only once. If it asks too early, it waits forever.
  const text = await inside.run(await turnutils('stunclient'), ['-p', String(port), host], withinMs)
  return text.includes('UDP reflexive addr') ? true : undefined
}

function turnserverArguments(options: {
  hosts: readonly [string, ...string[]]
  port: number
  realm: string
  secrets: readonly string[]
  directory: string
}): string[] {
  const { hosts, port, directory } = options
  const [host] = hosts
  const args = ['-c', join(directory, CONFIG), '-E', host, '-p', String(port)]
  for (const each of hosts) args.push('-L', each)
  args.push('--min-port', String(RELAY_PORTS.low), '--max-port', String(RELAY_PORTS.high))
  args.push('--use-auth-secret', `--realm=${options.realm}`)
  args.push(...options.secrets.map((secret) => `--static-auth-secret=${secret}`))
  args.push('--log-file=stdout', `--pidfile=${join(directory, 'coturn.pid')}`)
  args.push(`--userdb=${join(directory, 'turndb')}`)
  // The peers of the tests are on loopback, to which coturn does not relay by default.
  if (host.startsWith('127.')) args.push('--allow-loopback-peers')
  return args
}

/** `username = expiry:name`, `password = base64(HMAC-SHA1(secret, username))` (TURN REST). */
export function turnCredentials(secret: string, name: string, ttlSeconds: number): TurnCredentials {
  const username = `${Math.floor(Date.now() / 1000) + ttlSeconds}:${name}`
  return { username, password: createHmac('sha1', secret).update(username).digest('base64') }
}

/** The path of one of coturn's own clients. */
export async function turnutils(name: 'uclient' | 'stunclient' | 'natdiscovery' | 'peer'): Promise<string> {
  const binary = `turnutils_${name}`
  const { path } = await findTool({ name: binary, binaries: [binary], debianPackage: 'coturn' })
  return path
}

/** Whether a STUN server answers a binding request (RFC 8489 §5: 20 bytes, no attributes) at this address. */
export function probeStun(host: string, port: number): Promise<true> {
  const transaction = randomBytes(12)
  const request = Buffer.concat([Buffer.from('000100002112a442', 'hex'), transaction])
  const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4')
  return new Promise<true>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('no answer')), PROBE_DEADLINE_MS)
    socket.on('error', reject)
    socket.on('message', (answer) => {
      const success = answer.readUInt16BE(0) === 0x0101 && answer.subarray(8, 20).equals(transaction)
      if (success) resolve(true)
    })
    const ask = (): void => socket.send(request, port, host)
    // We repeat the request, as every STUN client does, because a request that is sent too early is lost.
    const again = setInterval(ask, PROBE_EVERY_MS)
    socket.once('close', () => {
      clearTimeout(timer)
      clearInterval(again)
    })
    ask()
  }).finally(() => socket.close())
}

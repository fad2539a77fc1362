import { createHash } from 'node:crypto'
import { execFile } from 'node:child_process'
import { copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { findTool, type Tool } from '../support/binary.js'
import type { Engine, OwnedEngine } from './engine.js'

/** An image for the tests alone, made from Debian's packages and npm's, under the name that our files ask for. */
export interface StandIn {
  /** The names that it gets: those in our Dockerfile, docker-compose.yml and fixtures. */
  names: readonly string[]
  /** What is in it. */
  contains: string
  /** What tests with it cannot show about the real image. */
  cannotShow: string
  /** Its Dockerfile. */
  dockerfile: string
  /** Its files, in the folder beside the Dockerfile. */
  files?: (folder: string) => Promise<void>
}

const NODE = '26.12.1'
const NPM = '11.6.0'
const BASE = 'peerage-test/trixie:base'
const LABEL = 'peerage.stand-in'
const MIRROR = 'http://deb.debian.org/debian'
const DEBOOTSTRAP: Tool = {
  name: 'debootstrap',
  binaries: ['debootstrap'],
  debianPackage: 'debootstrap',
}
const BASE_DEADLINE_MS = 300_000
const BUILD_DEADLINE_MS = 300_000
const PULL_DEADLINE_MS = 300_000

const execute = promisify(execFile)

const install = (...packages: string[]): string =>
  `RUN apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends ${packages.join(' ')} && rm -rf /var/lib/apt/lists/*`

export const STAND_INS: readonly StandIn[] = [
  {
    names: ['node:26-trixie-slim'],
    contains: `Node ${NODE} and npm ${NPM} from npm, on Debian trixie`,
    cannotShow: "the real image's npm, and its other programs",
    dockerfile: `FROM ${BASE}
${install('ca-certificates', 'libatomic1')}
COPY node /usr/local/bin/node
COPY npm /usr/local/lib/node_modules/npm
RUN ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm && chmod 755 /usr/local/bin/npm
COPY npmrc ca.crt /usr/local/etc/
ENV NODE_EXTRA_CA_CERTS=/usr/local/etc/ca.crt
CMD ["node"]
`,
    files: nodeAndNpm,
  },
  {
    names: ['gcr.io/distroless/nodejs26-debian13:nonroot'],
    contains: `Node ${NODE} and the libraries that it links to, without a shell`,
    cannotShow: "distroless itself: its certificates, its time zones and its libraries' versions",
    dockerfile: `FROM node:26-trixie-slim AS files
RUN mkdir -p /out/nodejs/bin /out/etc /out/tmp /out/home/nonroot && chmod 1777 /out/tmp && chown 65532:65532 /out/home/nonroot \\
 && cp /usr/local/bin/node /out/nodejs/bin/ \\
 && for file in $(ldd /usr/local/bin/node | grep -o '/[^ ]*'); do cp --parents --dereference "$file" /out; done \\
 && echo 'nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin' > /out/etc/passwd \\
 && echo 'nonroot:x:65532:' > /out/etc/group
FROM scratch
COPY --from=files /out /
USER 65532
WORKDIR /home/nonroot
ENTRYPOINT ["/nodejs/bin/node"]
`,
  },
  {
    names: ['redis:7.4', 'redis:7'],
    contains: 'Redis 8.0.2',
    cannotShow: 'Redis 7 (the other tests run 7.0)',
    // Redis in the official image answers other machines without a password if it has no configuration.
    dockerfile: `FROM ${BASE}
${install('redis-server', 'redis-sentinel')}
RUN rm -r /etc/redis && mkdir -p /usr/local/lib/redis /data && cp --dereference /usr/bin/redis-server /usr/local/lib/redis/redis-server \\
 && printf '#!/bin/sh\\ncase "\${1:--}" in -*) set -- --protected-mode no "$@";; esac\\nexec /usr/local/lib/redis/redis-server "$@"\\n' > /usr/local/bin/redis-server \\
 && chmod 755 /usr/local/bin/redis-server && chown 999:999 /data
VOLUME ["/data"]
WORKDIR /data
EXPOSE 6379
CMD ["redis-server"]
`,
  },
  {
    names: ['haproxy:2.8'],
    contains: 'HAProxy 3.0',
    cannotShow: 'HAProxy 2.8 (the other tests run 2.6)',
    dockerfile: `FROM ${BASE}
${install('haproxy')}
RUN groupmod --gid 99 haproxy && usermod --uid 99 --gid 99 haproxy
USER haproxy
STOPSIGNAL SIGUSR1
CMD ["haproxy", "-f", "/usr/local/etc/haproxy/haproxy.cfg"]
`,
  },
  {
    names: ['coturn/coturn:4.17.0-r0', 'coturn/coturn:4.6'],
    contains: 'coturn 4.6.1',
    cannotShow: 'coturn 4.17: its addresses that are denied in mapped form, and its own image',
    dockerfile: `FROM ${BASE}
${install('coturn', 'libcap2-bin')}
# As in the real image: no container without this capability may run the program.
RUN setcap CAP_NET_BIND_SERVICE=+ep /usr/bin/turnserver
VOLUME ["/var/lib/coturn"]
USER nobody:nogroup
STOPSIGNAL SIGINT
CMD ["turnserver"]
`,
  },
  {
    names: ['prom/prometheus:v3.5.0'],
    contains: 'Prometheus 2.53',
    cannotShow: 'Prometheus 3',
    dockerfile: `FROM ${BASE}
${install('prometheus')}
RUN mkdir -p /prometheus /etc/prometheus && chown nobody:nogroup /prometheus
USER nobody
EXPOSE 9090
VOLUME ["/prometheus"]
WORKDIR /prometheus
ENTRYPOINT ["/bin/prometheus"]
CMD ["--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus"]
`,
  },
  {
    names: ['peerage-test/compose:2'],
    contains: 'Docker Compose 2.26',
    cannotShow: 'newer versions of Compose',
    dockerfile: `FROM ${BASE}
${install('docker-compose', 'docker-cli', 'ca-certificates')}
ENTRYPOINT ["docker", "compose"]
`,
  },
]

/**
 * Gets each image from its registry. What no registry gives is made as a stand-in, but only in an engine of our own: in
 * another engine it would stay under the name of a public image, for everybody who uses that engine. Says on standard error
 * which images are stand-ins. Rejects with an Error that says why an image cannot be had.
 */
export async function makeStandIns(engine: OwnedEngine): Promise<void> {
  /** Why each of these registries gives nothing. They are asked once. */
  const silent = new Map<string, string>()
  for (const standIn of STAND_INS)
    for (const name of standIn.names) {
      const label = await labelOf(engine, name)
      if (label === 'none') continue // the real one
      const why = await pull(engine, name, silent)
      if (why === undefined) continue
      if (!engine.isOurs && !isPrivate(name)) throw new Error(notInYours(name, label, why))
      const hash = hashOf(standIn)
      const startedAt = performance.now()
      if (label !== hash) await build(engine, { ...standIn, name, hash })
      const seconds = ((performance.now() - startedAt) / 1000).toFixed(0)
      process.stderr.write(`${name}: a stand-in with ${standIn.contains}, made in ${seconds} s\n`)
    }
}

const isPrivate = (name: string): boolean => name.startsWith('peerage-test/')

function notInYours(name: string, label: string | undefined, why: string): string {
  const has =
    label === undefined ? '' : `, and the ${name} that it has is a stand-in (docker image rm ${name})`
  return (
    `The engine at DOCKER_HOST or /var/run/docker.sock cannot get ${name}: ${why}${has}. Give it access to the ` +
    'registry. The tests make stand-ins for public images only in an engine that they start themselves.'
  )
}

async function build(
  engine: Engine,
  { name, hash, ...standIn }: StandIn & { name: string; hash: string },
): Promise<void> {
  await makeBase(engine)
  const folder = await mkdtemp(join(tmpdir(), 'peerage-stand-in-'))
  try {
    await writeFile(join(folder, 'Dockerfile'), standIn.dockerfile)
    await standIn.files?.(folder)
    const label = `${LABEL}=${hash}`
    await engine.docker(['build', '--quiet', '--network=host', '--label', label, '--tag', name, folder], {
      deadlineMs: BUILD_DEADLINE_MS,
    })
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** Debian trixie itself, from Debian's mirror. */
async function makeBase(engine: Engine): Promise<void> {
  if (await exists(engine, BASE)) return
  const { path: debootstrap } = await findTool(DEBOOTSTRAP)
  const folder = await mkdtemp(join(tmpdir(), 'peerage-debian-'))
  try {
    const options = { timeout: BASE_DEADLINE_MS, maxBuffer: 1 << 26 }
    await execute(debootstrap, ['--variant=minbase', 'trixie', join(folder, 'root'), MIRROR], options)
    await execute('tar', ['-C', join(folder, 'root'), '-cf', join(folder, 'root.tar'), '.'], options)
    await engine.docker(['import', join(folder, 'root.tar'), BASE])
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** Node's binary, npm, and how this machine's npm reaches its registry. */
async function nodeAndNpm(folder: string): Promise<void> {
  const arch = process.arch === 'arm64' ? 'arm64' : 'x64'
  const unpack = async (spec: string, to: string): Promise<void> => {
    const { stdout } = await execute('npm', ['pack', '--silent', spec], { cwd: folder })
    await mkdir(join(folder, to))
    await execute('tar', ['-xzf', stdout.trim(), '--strip-components=1', '-C', to], { cwd: folder })
  }
  await unpack(`node-linux-${arch}@${NODE}`, 'package-node')
  await unpack(`npm@${NPM}`, 'npm')
  await copyFile(join(folder, 'package-node', 'bin', 'node'), join(folder, 'node'))
  const { stdout } = await execute('npm', ['config', 'get', 'registry'])
  await writeFile(join(folder, 'npmrc'), `registry=${stdout.trim()}\n`)
  const certificates = process.env['NODE_EXTRA_CA_CERTS']
  if (certificates === undefined) await writeFile(join(folder, 'ca.crt'), '')
  else await copyFile(certificates, join(folder, 'ca.crt'))
}

async function exists(engine: Engine, name: string): Promise<boolean> {
  return (await engine.docker(['image', 'ls', '--quiet', name])) !== ''
}

/** The hash of a stand-in, `none` of a real image, undefined if the engine has no image of this name. */
async function labelOf(engine: Engine, name: string): Promise<string | undefined> {
  if (!(await exists(engine, name))) return undefined
  const format = `{{index .Config.Labels "${LABEL}"}}`
  const label = await engine.docker(['image', 'inspect', name, '--format', format])
  return label === '' ? 'none' : label
}

/** Why no registry gives the engine this image; undefined if one has given it. */
async function pull(engine: Engine, name: string, silent: Map<string, string>): Promise<string | undefined> {
  if (isPrivate(name)) return 'it is in no registry'
  const [first = ''] = name.split('/')
  const registry = first.includes('.') ? first : 'docker.io'
  const known = silent.get(registry)
  if (known !== undefined) return known
  try {
    await engine.docker(['pull', '--quiet', name], { deadlineMs: PULL_DEADLINE_MS })
    return undefined
  } catch (error) {
    const why = String(error).split('\n').at(-1) ?? ''
    silent.set(registry, why)
    return why
  }
}

function hashOf({ dockerfile }: StandIn): string {
  return createHash('sha256').update(dockerfile).digest('hex').slice(0, 16)
}

import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { chmod, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { defaultTimes } from '@peerage/core'
import { aclRules } from '@peerage/redis'
import { afterEach, beforeAll, describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { z } from 'zod'
import {
  nodeDefinition,
  resolve,
  type Config,
  readEnvironment,
} from '@peerage/test-support/testing/server.js'
import { makeDirectory, removeDirectory } from '@peerage/test-support/fixture.js'
import { PeerJsPeer, offer } from '@peerage/test-support/peerjs.js'
import { REPOSITORY, startNode } from '@peerage/test-support/node.js'
import { startRedis } from '@peerage/test-support/redis.js'
import { deploymentSchema, find, renderManifests } from './manifests.js'

const limits = z.object({ nofile: z.object({ soft: z.number(), hard: z.number() }) })
const service = z.looseObject({
  image: z.string(),
  command: z.array(z.string()).optional(),
  entrypoint: z.array(z.string()).optional(),
  environment: z.record(z.string(), z.string()).optional(),
  volumes: z.array(z.string()).optional(),
  ports: z.array(z.string()).optional(),
  secrets: z.array(z.string()).optional(),
  ulimits: limits.optional(),
  stop_grace_period: z.string().optional(),
  read_only: z.boolean().optional(),
  user: z.string().optional(),
  networks: z
    .union([z.array(z.string()), z.record(z.string(), z.object({ ipv4_address: z.string().optional() }))])
    .optional(),
})
const composeSchema = z.strictObject({
  name: z.string(),
  'x-node': z.unknown(),
  services: z.record(z.string(), service),
  networks: z.record(z.string(), z.looseObject({})),
  volumes: z.record(z.string(), z.looseObject({})),
  secrets: z.record(z.string(), z.object({ file: z.string() })),
})
type Service = z.output<typeof service>

const execute = promisify(execFile)
const ends: (() => Promise<unknown>)[] = []
let compose: z.output<typeof composeSchema>
let config: Config

const serviceOf = (name: string): Service => {
  const found = compose.services[name]
  if (found === undefined) throw new Error(`no service ${name}`)
  return found
}
const NODES = ['node1', 'node2', 'node3']

/** Replaces `${NAME:-default}` by the default, and `$$` by a dollar sign, as Compose does without variables. */
const interpolate = (text: string): string =>
  text.replaceAll(/\$\{\w+:-([^}]*)\}/g, '$1').replaceAll('$$', '$')

beforeAll(async () => {
  const text = await readFile(`${REPOSITORY}docker-compose.yml`, 'utf8')
  compose = composeSchema.parse(parse(interpolate(text), { merge: true }))
  const layer = readEnvironment(nodeDefinition, {
    env: serviceOf('node1').environment ?? {},
    readFile: () => 's'.repeat(48),
  })
  const loaded = resolve(nodeDefinition, [layer])
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems))
  config = loaded.config
})

afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

describe('docker-compose.yml', () => {
  test('the files, networks and secrets that it names exist', () => {
    for (const [name, { volumes = [], secrets = [], networks = [] }] of Object.entries(compose.services)) {
      for (const [source = ''] of volumes.map((volume) => volume.split(':')))
        expect([
          name,
          source,
          source.startsWith('.') ? existsSync(join(REPOSITORY, source)) : source in compose.volumes,
        ]).toEqual([name, source, true])
      for (const secret of secrets) expect(Object.keys(compose.secrets)).toContain(secret)
      for (const network of Array.isArray(networks) ? networks : Object.keys(networks))
        expect(Object.keys(compose.networks)).toContain(network)
    }
  })

  test('all nodes have the same configuration, and it is valid', () => {
    for (const name of NODES) expect(serviceOf(name).environment).toEqual(serviceOf('node1').environment)
    expect(config).toMatchObject({ host: '0.0.0.0', open: false, redis: { username: 'peerage' } })
    expect(config.redis.password).toHaveLength(48)
    expect(config.origins).not.toEqual([])
    // Each node announces its own address in the network `back`, where it reaches Redis.
    expect(config.links).toMatchObject({ host: '0.0.0.0', advertise: null, plain: false })
    expect(config.links.port).toBeGreaterThan(0)
  })

  test('secrets are files, never values', () => {
    for (const { environment = {}, command = [] } of Object.values(compose.services)) {
      for (const [name, value] of Object.entries(environment))
        if (/password|secret|key|token/i.test(name))
          expect([name, value]).toEqual([
            expect.stringMatching(/_FILE$/),
            expect.stringMatching(/^\/run\/secrets\//),
          ])
      expect(command.join(' ')).not.toMatch(/password|secret/i)
    }
  })

  test('HAProxy lists each node with its port, is the only trusted proxy, and is the only entrance for peers', () => {
    const { environment = {}, ports } = serviceOf('haproxy')
    const addressOf = ({ networks = {} }: Service): string | undefined =>
      Array.isArray(networks) ? undefined : networks['front']?.ipv4_address
    // Addresses: after a restart of the engine HAProxy may start first, and then it finds no names.
    expect(NODES.map((_, i) => environment[`PEERAGE_NODE_${i + 1}`])).toEqual(
      NODES.map((name) => `${addressOf(serviceOf(name))}:${config.port}`),
    )
    expect(config.trustedProxies).toEqual([addressOf(serviceOf('haproxy'))])
    expect(ports).toEqual(['8080:8080'])
    expect(environment['PEERAGE_BIND']).toBe(':8080')
    const published = Object.entries(compose.services).filter(([, one]) => one.ports !== undefined)
    expect(published.map(([name]) => name)).toEqual(['haproxy', 'grafana'])
  })

  test('file descriptors suffice: one per connection in a node, two in HAProxy', async () => {
    const connections = config.limits.node.connections
    for (const name of NODES)
      expect(serviceOf(name).ulimits?.nofile.soft).toBeGreaterThan(connections + 1_000)
    const haproxy = await readFile(`${REPOSITORY}deploy/haproxy.cfg`, 'utf8')
    const hard = Number(/fd-hard-limit (\d+)/.exec(haproxy)?.[1])
    expect(Math.min(hard, serviceOf('haproxy').ulimits?.nofile.soft ?? 0)).toBeGreaterThan(
      2 * NODES.length * connections,
    )
    const nginx = await readFile(`${REPOSITORY}deploy/nginx.conf`, 'utf8')
    expect(Number(/worker_rlimit_nofile (\d+)/.exec(nginx)?.[1])).toBeGreaterThanOrEqual(
      2 * Number(/worker_connections (\d+)/.exec(nginx)?.[1]),
    )
  })

  test('a node has enough time to stop for its drain', () => {
    for (const name of NODES)
      expect(
        Number(/^(\d+)s$/.exec(serviceOf(name).stop_grace_period ?? '')?.[1]) * 1_000,
      ).toBeGreaterThanOrEqual(defaultTimes.drainMs + 5_000)
  })

  test('the settings that it offers in comments are valid, too', async () => {
    const text = await readFile(`${REPOSITORY}docker-compose.yml`, 'utf8')
    const offered = [...text.matchAll(/^ {4}# (PEERAGE_\w+): '(\w+)'$/gm)].map(
      ([, name = '', value = '']) => [name, value],
    )
    expect(offered).toHaveLength(4)
    const env = Object.fromEntries(offered)
    const loaded = resolve(nodeDefinition, [readEnvironment(nodeDefinition, { env, readFile: () => '' })])
    if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems))
    const { yWebrtc, webtorrent, trystero, matchbox } = loaded.config
    for (const wire of [yWebrtc, webtorrent, trystero, matchbox]) expect(wire.enabled).toBe(true)
  })

  test('its images are the same as in k8s/, and ours is built once', async () => {
    const manifests = await renderManifests()
    const image = (name: string): string | undefined =>
      find(manifests, 'Deployment', name, deploymentSchema).spec.template.spec.containers[0]?.image
    const { version } = z
      .object({ version: z.string() })
      .parse(JSON.parse(await readFile(`${REPOSITORY}package.json`, 'utf8')))
    for (const name of [...NODES, 'p2p']) expect(serviceOf(name).image).toBe(`peerage:${version}`)
    const builders = Object.entries(compose.services).filter(([, one]) => 'build' in one)
    expect(builders.map(([name]) => name)).toEqual(['node1'])
    // Only kubectl adds the tag from the kustomization.
    expect([`peerage:${version}`, 'peerage']).toContain(image('peerage'))
    expect(image('peerage-p2p')).toBe(image('peerage'))
    expect(serviceOf('coturn').image).toBe(image('coturn'))
    for (const { image: used } of Object.values(compose.services)) expect(used).toMatch(/:v?\d+\.\d/)
  })
})

describe('Dockerfile', () => {
  test('the files that it copies exist, and it runs only copied files', async () => {
    const text = await readFile(`${REPOSITORY}Dockerfile`, 'utf8')
    const copied = [...text.matchAll(/^COPY (?!--from)(.+) \S+$/gm)].flatMap(([, files = '']) =>
      files.split(' '),
    )
    for (const file of copied) expect([file, existsSync(join(REPOSITORY, file))]).toEqual([file, true])
    for (const [script = ''] of text.matchAll(/packages\/\S+\/bin\/\w+\.js/g))
      expect(existsSync(join(REPOSITORY, script))).toBe(true)
    const workspaces = [...text.matchAll(/^COPY --from=build \/src\/packages\/([\w-]+)\/dist/gm)].map(
      ([, name]) => name,
    )
    expect(workspaces.sort()).toEqual(['client', 'core', 'node-links', 'protocol', 'redis', 'server', 'stun'])
    // All our packages that the node imports are in the image.
    const { dependencies } = z
      .object({ dependencies: z.record(z.string(), z.string()) })
      .parse(JSON.parse(await readFile(`${REPOSITORY}packages/server/package.json`, 'utf8')))
    for (const name of Object.keys(dependencies).filter((one) => one.startsWith('@peerage/')))
      expect(workspaces).toContain(name.replace('@peerage/', ''))
    const last = text.slice(text.lastIndexOf('\nFROM '))
    expect(last).toMatch(/^\nFROM gcr\.io\/distroless\/nodejs26-\S+:nonroot\n/)
    expect(last).toContain('USER 65532\n')
    expect(last).not.toMatch(/^(?:RUN|SHELL) /m)
    for (const word of ['ENTRYPOINT', 'CMD']) expect(last).toMatch(new RegExp(`^\\s*${word} \\["`, 'm'))
  })

  test('it needs no registry of images but for the images that it begins with', async () => {
    const text = await readFile(`${REPOSITORY}Dockerfile`, 'utf8')
    // A parser directive, such as `# syntax=`, fetches BuildKit's frontend; the frontend of the engine knows all lines.
    expect(text).not.toMatch(/^#\s*\w+\s*=/m)
    const stages = [...text.matchAll(/^FROM .* AS (\w+)$/gm)].map(([, stage]) => stage)
    const sources = [...text.matchAll(/(?:--from=|from=)([^\s,]+)/g)].map(([, stage]) => stage)
    expect(sources.length).toBeGreaterThan(0)
    for (const source of sources) expect(stages).toContain(source)
    expect(text).not.toMatch(/^(?:ADD|ONBUILD) /m)
  })

  test('a change of our sources repeats no installation: only manifests are copied before npm ci', async () => {
    const text = await readFile(`${REPOSITORY}Dockerfile`, 'utf8')
    const stages = text.split(/^FROM /m).filter((stage) => stage.includes('npm ci'))
    expect(stages).toHaveLength(2)
    for (const stage of stages) {
      const before = stage.slice(0, stage.indexOf('npm ci'))
      const files = [...before.matchAll(/^COPY (?:--from=build )?(.+) \S+$/gm)].flatMap(([, each = '']) =>
        each.split(' '),
      )
      expect(
        files.filter((file) => !/(?:package|package-lock|tsconfig|tsconfig\.base)\.json$/.test(file)),
      ).toEqual([])
    }
  })

  test('its Node version is one that test:nodes runs, and the packages accept exactly these versions', async () => {
    const read = (file: string): Promise<string> => readFile(`${REPOSITORY}${file}`, 'utf8')
    const majors = (text: string, pattern: RegExp) => [...text.matchAll(pattern)].map(([, major]) => major)
    const tried = majors(await read('scripts/nodes.mjs'), /(\d+): '\1\./g)
    expect(tried).toEqual(['22', '24', '26'])
    const images = majors(await read('Dockerfile'), /^FROM .*node(?:js|:)(\d+)-/gm)
    expect(images).toEqual(['26', '26', '26'])
    const packages = (await readdir(`${REPOSITORY}packages`)).map((name) => `packages/${name}/package.json`)
    for (const file of ['package.json', ...packages]) {
      const { engines } = z
        .object({ engines: z.object({ node: z.string() }) })
        .parse(JSON.parse(await read(file)))
      // The other tests run on Node 20.
      expect([file, ...majors(engines.node, /(?:\^|>=)(\d+)\./g)]).toEqual([file, '20', ...tried])
    }
  })

  test('the health check succeeds only for a live node and a live P2P server', async () => {
    const node = await startNode()
    ends.push(() => node.stop())
    const check = async (target: string): Promise<number> => {
      const script = `${REPOSITORY}packages/server/bin/healthcheck.js`
      return execute(process.execPath, [script, target]).then(
        () => 0,
        (error: unknown) => z.object({ code: z.number() }).parse(error).code,
      )
    }
    const stun = `stun:127.0.0.1:${node.p2p?.port ?? 0}`
    expect(await Promise.all([check(`${node.url}/healthz`), check(stun)])).toEqual([0, 0])
    expect(await check(`${node.url}/nothing-here`)).toBe(1)
    await node.kill()
    expect(await Promise.all([check(`${node.url}/healthz`), check(stun), check('nonsense')])).toEqual([
      1, 1, 1,
    ])
  })
})

describe('the Redis user', () => {
  const PASSWORD = 'a password of the test'

  /** Runs the shell script of docker-compose.yml up to the start of Redis, with its paths replaced by paths in `directory`. */
  async function makeAclFile(directory: string): Promise<string> {
    const script = serviceOf('redis').entrypoint?.[2] ?? ''
    const prepared = script.slice(0, script.indexOf('exec redis-server'))
    const paths: Record<string, string> = {
      '/run/secrets/redis_password': join(directory, 'password'),
      '/etc/redis/redis-users.acl': `${REPOSITORY}deploy/redis-users.acl`,
      '/tmp/users.acl': join(directory, 'users.acl'),
    }
    await writeFile(join(directory, 'password'), `${PASSWORD}\n`)
    let adapted = prepared
    for (const [from, to] of Object.entries(paths)) {
      expect(adapted).toContain(from)
      adapted = adapted.replaceAll(from, to)
    }
    await execute('sh', ['-c', `${adapted} true`])
    return join(directory, 'users.acl')
  }

  test('has only our commands on our keys and channels', async () => {
    const text = await readFile(`${REPOSITORY}deploy/redis-users.acl`, 'utf8')
    expect(text).toBe(
      `user default off resetchannels -@all\nuser peerage on #@PEERAGE_PASSWORD_SHA256@ resetkeys resetchannels ~pg:* &pg:* -@all ${aclRules.join(' ')}\n`,
    )
  })

  test('a node works with the ACL file that docker-compose.yml makes, and Redis denies no command', async () => {
    const directory = await makeDirectory('acl')
    ends.push(() => removeDirectory(directory))
    const file = await makeAclFile(directory)
    expect(await readFile(file, 'utf8')).toContain(`#${createHash('sha256').update(PASSWORD).digest('hex')} `)
    const login = { username: 'peerage', password: PASSWORD }
    // The test itself logs in as this user, which is not in the shipped file.
    const withLooker = `${await readFile(file, 'utf8')}user looker on >look ~* &* +@all\n`
    await writeFile(file, withLooker)
    await chmod(file, 0o600)
    const redis = await startRedis({
      args: ['--aclfile', file, '--maxmemory-policy', 'noeviction'],
      login: { username: 'looker', password: 'look' },
    })
    ends.push(() => redis.stop())
    const env = {
      PEERAGE_REDIS_USERNAME: login.username,
      PEERAGE_REDIS_PASSWORD_FILE: join(directory, 'password'),
    }
    const nodes = await Promise.all([0, 1].map(() => startNode({ redisUrl: redis.url, env })))
    for (const node of nodes) ends.push(() => node.stop())
    const [near, far] = await Promise.all(
      nodes.map(({ url }, i) => PeerJsPeer.open({ url, id: `peer-${i}` })),
    )
    if (near === undefined || far === undefined) throw new Error('no peers')
    near.send(offer(far.id))
    expect((await far.next('OFFER')).src).toBe(near.id)
    await Promise.all([near.close(), far.close()])
    // The names must be released before the nodes stop, or else they would wait for their holders.
    await expect.poll(() => redis.cli('KEYS', 'pg:*')).not.toContain('peer-')
    for (const node of nodes) expect((await node.terminate()).code).toBe(0)
    expect(await redis.cli('ACL', 'LOG')).toBe('')
    expect(await redis.cli('KEYS', 'pg:*')).not.toContain('peer-')
  })
})

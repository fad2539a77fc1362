import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { findBinary } from '@peerage/test-support/binary.js'
import { WebSocket } from 'ws'
import { makeCertificates } from '@peerage/test-support/certificates.js'
import { HAPROXY } from '@peerage/test-support/haproxy.js'
import { makeDirectory, removeDirectory } from '@peerage/test-support/fixture.js'
import { findPython } from '@peerage/test-support/python.js'
import { freePort, freePortBoth, freePortPair } from '@peerage/test-support/ports.js'
import { PEERAGE_BIN, REPOSITORY } from '@peerage/test-support/node.js'
import { eventually, startChild, type Child } from '@peerage/test-support/process.js'
import { REDIS, startRedis } from '@peerage/test-support/redis.js'
import { useCommand } from './command.js'
import { startMeddler } from './meddler.js'

// The command's behaviour. Redis topologies are covered by doctor.test.ts and redis-start.test.ts.

const START_MS = 20_000
const { cleanups, peerage, ended, occupy } = useCommand()

function record(line: string): Record<string, unknown> | undefined {
  return line.startsWith('{') ? (JSON.parse(line) as Record<string, unknown>) : undefined
}

function logged(child: Child, msg: string): Promise<Record<string, unknown>> {
  return child.line((line) => {
    const found = record(line)
    return found?.['msg'] === msg ? found : undefined
  }, START_MS)
}

/**
 * Runs a node in a terminal of its own, sends it SIGHUP, closes the terminal when the node has read its settings again, and
 * prints how the node ended.
 */
const HANGUPS = `
import os, pty, signal, sys
pid, terminal = pty.fork()
if pid == 0: os.execv(sys.argv[1], sys.argv[1:])
def wait(text):
  said = b''
  while text not in said: said += os.read(terminal, 4096)
wait(b'Ctrl-C ends it.')
os.kill(pid, signal.SIGHUP)
wait(b'reloaded')
print('reloaded', flush=True)
os.close(terminal)
print('ended:', os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
`

async function readyz(url: unknown): Promise<{ status: number; why: unknown }> {
  const answer = await fetch(`${String(url)}/readyz`)
  const body = (await answer.json()) as { why?: unknown }
  return { status: answer.status, why: body.why }
}

describe('a wrong configuration', () => {
  test('exits 2 and names every problem with its path and its source', async () => {
    const directory = await makeDirectory('cli')
    cleanups.push(() => removeDirectory(directory))
    const file = join(directory, 'peerage.yaml')
    await writeFile(file, 'redis:\n  prefx: "a:"\ntimes:\n  commandMs: 5000\n')
    const { code, text } = await ended(
      ['serve', '--config', file, '--prot', '1', '--port', '99999', 'stray', '--host', '0.0.0.0'],
      { PEERAGE_ORIGINS: 'null', PEERAGE_LOG_LEVL: 'info' },
    )
    expect(code).toBe(2)
    expect(text.split('\n')).toEqual([
      'peerage: the configuration has 7 problems:',
      '  --prot (command line): is not a flag of this command; did you mean --port?',
      '  stray (command line): is not expected here',
      '  PEERAGE_LOG_LEVL (environment): is not a variable of peerage; did you mean PEERAGE_LOG_LEVEL?',
      `  redis.prefx (${file}:2): is not a setting; did you mean redis.prefix?`,
      '  port (--port): must be a whole number from 0 to 65535; it is 99999',
      expect.stringMatching(/^ {2}origins\.0 \(PEERAGE_ORIGINS\): must not be null/),
      `  times.commandMs (${file}:4): must be at most 1000: a node answers within a second`,
    ])
  })

  test.each([
    {
      args: ['serve', '--config', '/nowhere/p.yaml'],
      says: '/nowhere/p.yaml (--config): cannot be read: ENOENT',
    },
    {
      args: ['serve', '--tls-cert', '/nowhere', '--tls-key', '/nowhere'],
      says: 'tls.cert (/nowhere) cannot be read: ENOENT',
    },
    {
      args: ['serve', '--redis', 'rediss://h', '--redis-ca', '/nowhere'],
      says: 'redis.ca (/nowhere) cannot be read: ENOENT',
    },
    { args: ['serve', '--port'], says: "option '--port <number>' argument missing" },
    {
      args: ['serve', '--links-host', '--links-port', '9200'],
      says: 'error: --links-host needs a value: --links-port is the next flag',
    },
    { args: ['serve', '--config', '--port', '1'], says: '--config needs a value: --port is the next flag' },
    {
      args: ['serve', '--origins', '--no-page'],
      says: '--origins needs a value: --no-page is the next flag',
    },
    { args: ['serve', '--access-key', '--port=1'], says: '--access-key needs a value: --port=1 is the next' },
    { args: ['stun', '--host', '--port', '1'], says: '--host needs a value: --port is the next flag' },
    { args: ['cluster', '--nodes', '--port', '1'], says: '--nodes needs a value: --port is the next flag' },
    {
      args: ['serve', '--links', '::'],
      says: '--links (command line): is not a flag of this command; did you mean --links-host?',
    },
    {
      args: ['check-config', '--redis', 'redis://h', '--links-host', 'http://127.0.0.1:9200'],
      says: 'links.host (--links-host): must be only an address or a name, without scheme, port or brackets (the port is the setting links.port)',
    },
    { args: ['frobnicate'], says: "unknown command 'frobnicate'" },
    { args: ['stun', '--port', '-1'], says: 'port (--port): must be a whole number' },
    { args: ['cluster', '--nodes', '0', '--port', 'x'], says: '--nodes must be a whole number from 1 to 12' },
  ])('$args', async ({ args, says }) => {
    const { code, text } = await ended(args)
    expect(text).toContain(says)
    expect(code).toBe(2)
  })

  // Without `--`, npm takes the flags itself, so the node would get only the values or nothing.
  test.each([
    [['--port', '9377'], 'npm start -- --port 9377'],
    [['--port=9377', '--no-page'], 'npm start -- --port=9377 --no-page'],
    [['--open', '--host', '0.0.0.0'], 'npm start -- --host 0.0.0.0 --open'],
  ])('npm start %j without -- says how to write it', async (args, right) => {
    const child = await startChild({ command: 'npm', args: ['start', ...args], cwd: REPOSITORY })
    cleanups.push(() => child.stop())
    expect(await child.stopped).toMatchObject({ code: 2 })
    expect(child.lines).toContain(`npm took these flags for its own. Write: ${right}`)
  })

  test('check-config and print-config show the effective configuration without its secrets', async () => {
    const env = { PEERAGE_REDIS: 'redis://u:geheim@localhost', PEERAGE_ACCESS_KEY: 'geheim-geheim-geheim' }
    expect(await ended(['check-config'], env)).toEqual({ code: 0, text: 'the configuration is fine' })
    const printed = await ended(['print-config', '--port', '9100'], env)
    expect(printed.code).toBe(0)
    expect(printed.text).toContain('port: 9100 # --port')
    expect(printed.text).toContain('url: redis://u:[redacted]@localhost # PEERAGE_REDIS')
    expect(printed.text).not.toContain('geheim')
    expect((await ended(['print-config', '--docs'])).text).toContain('| `redis.url` | `--redis` |')
    expect((await ended(['version'])).text).toMatch(/^peerage \d+\.\d+\.\d+ /)
    expect(await ended(['--help'])).toMatchObject({ code: 0, text: expect.stringContaining('Exit codes:') })
  })
})

describe('ports', () => {
  test('a taken TCP port is named, with exit code 1', async () => {
    const port = await freePort()
    await occupy(port)
    const { code, text } = await ended(['serve', '--port', String(port)])
    expect(text).toContain(
      `peerage: TCP port ${port} on 127.0.0.1 is taken by another process (to see which: ss -ltnp`,
    )
    expect(text).toMatch(/^For another port: node .*peerage\.js serve --port 9100$/m)
    expect(code).toBe(1)
  })

  test('a taken UDP port + 1 is named, with exit code 1, unless the P2P server is off', async () => {
    const port = await freePortPair()
    const udp = createSocket('udp4')
    udp.bind(port + 1, '127.0.0.1')
    await once(udp, 'listening')
    cleanups.push(() => void udp.close())
    const { code, text } = await ended(['serve', '--port', String(port)])
    expect(text).toContain(`UDP port ${port + 1} on 127.0.0.1 (the P2P server's: TCP port + 1) is taken`)
    expect(code).toBe(1)
    const child = await peerage(['serve', '--port', String(port), '--no-use-as-p2p-server'])
    expect(await logged(child, 'ready')).toMatchObject({ port, p2p: null, admin: null })
  })

  test('a taken port for links is named, with exit code 1', async () => {
    const redis = await startRedis()
    cleanups.push(() => redis.stop())
    const port = await freePort()
    await occupy(port)
    const links = ['--links-host', '127.0.0.1', '--links-port', String(port)]
    const { code, text } = await ended(['serve', '--port', '0', '--redis', redis.url, ...links])
    expect(text).toContain(
      `peerage: TCP port ${port} on 127.0.0.1 is taken by another process (to see which: ss -ltnp`,
    )
    expect(text).toContain('change links.port (--links-port)')
    expect(code).toBe(1)
    // No command went to Redis, so there is no Redis failure to log.
    expect(text).not.toContain('"stage"')
  })

  test('a host for links that does not resolve is named, with exit code 1', async () => {
    const redis = await startRedis()
    cleanups.push(() => redis.stop())
    const args = ['--redis', redis.url, '--links-host', 'nohost.invalid']
    const { code, text } = await ended(['serve', '--port', '0', ...args])
    expect(text).toMatch(
      /any TCP port on nohost\.invalid: (?:no address is known|the name server does not answer) for nohost\.invalid; .*change links\.host \(--links-host\)/,
    )
    expect(code).toBe(1)
  })

  test('a taken admin port and an address of another machine are named, with exit code 1', async () => {
    const port = await freePort()
    await occupy(port)
    const admin = await ended(['serve', '--port', '0', '--admin-port', String(port)])
    expect(admin).toMatchObject({
      code: 1,
      text: expect.stringContaining(`TCP port ${port} on 127.0.0.1 is taken`),
    })
    const other = await ended(['serve', '--port', '0', '--host', '192.0.2.1', '--open'])
    expect(other).toMatchObject({ code: 1, text: expect.stringContaining('no such address') })
  })
})

describe('a node', () => {
  test('logs its addresses in one line when it is ready, and exits with 0 on SIGTERM and SIGINT', async () => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      const child = await peerage(['serve', '--port', '0', '--admin-port', '0'])
      const ready = await logged(child, 'ready')
      const { port } = ready as { port: number }
      expect(ready).toMatchObject({
        url: `http://127.0.0.1:${port}`,
        p2p: { port: port + 1 },
        admin: expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+$/),
        node: expect.stringMatching(/^[A-Za-z0-9_-]{8}$/),
      })
      await child.kill(signal)
      expect(await child.stopped).toEqual({ code: 0, signal: null })
      expect(child.lines.map((line) => record(line)?.['msg']).slice(-2)).toEqual(['draining', 'stopped'])
    }
  })

  test('its log is for people where that is asked for', async () => {
    const child = await peerage(['serve', '--port', '0', '--log-format', 'pretty'])
    const line = await child.line((text) => (text.includes(' ready ') ? text : undefined), START_MS)
    expect(line).toMatch(/^\d\d:\d\d:\d\d INFO {2}ready url=http:\/\/127\.0\.0\.1:\d+ port=\d+ /)
    expect(child.lines.filter((text) => text.startsWith('{'))).toEqual([])
  })

  // util-linux's script(1) is a terminal for the program that it runs.
  test.each([
    [{}, true],
    [{ NO_COLOR: '' }, true],
    [{ NO_COLOR: '1' }, false],
    [{ CI: '1' }, true],
    [{ TERM: 'dumb' }, false],
  ])('on a terminal it says what to open (%j; in color: %s)', async (env, isColored) => {
    // `exec`: it must be a child of script(1), not of a shell. It ends when script(1) closes the terminal.
    const command = `exec ${process.execPath} ${PEERAGE_BIN} serve --port 0`
    const child = await startChild({
      command: 'script',
      args: ['-qec', command, '/dev/null'],
      env: { TERM: 'xterm', ...env },
    })
    cleanups.push(() => child.stop())
    await child.line((text) => (text.includes('Ctrl-C ends it.') ? true : undefined), START_MS)
    const text = child.lines.join('\n').replaceAll('\r', '')
    expect(text).toMatch(/^Peerage is ready\.\n.*\n {2}http:\/\/127\.0\.0\.1:\d+\nOnly this machine/m)
    expect(text).toMatch(/peerage\.js serve --host 0\.0\.0\.0 --open$/m)
    expect(text).toContain(isColored ? '\u001B[32mINFO ' : ' INFO  listening url=')
    expect(text).not.toContain('"level"')
    const pids = await childrenOf(child.pid)
    expect(pids).toHaveLength(1)
    await child.stop()
    await eventually('the node is gone', () => Promise.resolve(pids.some(isAlive) ? undefined : true), {
      deadlineMs: START_MS,
    })
  })

  test('SIGHUP makes it read its settings again while its terminal is open, and a closed terminal ends it', async () => {
    const child = await startChild({
      command: await findPython(),
      args: ['-c', HANGUPS, process.execPath, PEERAGE_BIN, 'serve', '--port', '0'],
    })
    cleanups.push(() => child.stop())
    const said = (text: string) => child.line((line) => (line === text ? true : undefined), START_MS)
    await said('reloaded')
    // By the signal, as Python says it.
    await said('ended: -1')
  })

  test('without Redis at start it logs why, /healthz is 200 and /readyz says why, and it is ready once Redis is up', async () => {
    const port = await freePort()
    const at = ['--port', '0', '--admin-port', '0', '--redis', `redis://127.0.0.1:${port}`]
    const child = await peerage(['serve', ...at])
    const { url, admin } = await logged(child, 'listening')
    const health = await child.line((line) => {
      const found = record(line)
      return String(found?.['why']).includes('ECONNREFUSED') ? found : undefined
    }, START_MS)
    expect(health).toMatchObject({ level: 'warn', msg: 'health', healthy: false })
    expect((await fetch(`${String(url)}/healthz`)).status).toBe(200)
    // Only the admin port tells where Redis is.
    expect(await readyz(url)).toEqual({ status: 503, why: 'store' })
    expect(await readyz(admin)).toEqual({
      status: 503,
      why: expect.stringContaining(`ECONNREFUSED 127.0.0.1:${port}`),
    })
    const redis = await startRedis({ port })
    cleanups.push(() => redis.stop())
    await logged(child, 'ready')
    expect((await readyz(url)).status).toBe(200)
  })

  test('logs where other nodes reach it, and warns if only this machine can', async () => {
    const redis = await startRedis()
    cleanups.push(() => redis.stop())
    const at = ['serve', '--port', '0', '--redis', redis.url, '--links-host']
    const child = await peerage([...at, '0.0.0.0'])
    const { links } = await logged(child, 'ready')
    expect(links).toMatch(/^127\.0\.0\.1:\d+$/)
    const warned = await child.line((line) => {
      const found = record(line)
      return String(found?.['msg']).startsWith('this node announces') ? found : undefined
    }, START_MS)
    expect(warned).toMatchObject({
      level: 'warn',
      stage: 'link',
      msg: expect.stringContaining(
        `${String(links)}, which only this machine can reach: set links.advertise`,
      ),
    })
    const right = await peerage([...at, '127.0.0.1'])
    expect((await logged(right, 'ready'))['links']).toMatch(/^127\.0\.0\.1:\d+$/)
    await right.kill('SIGTERM')
    await right.stopped
    expect(right.output()).not.toContain('this node announces')
  })

  test('exits with 0 on SIGTERM even if it was never ready', async () => {
    const port = await freePort()
    const child = await peerage(['serve', '--port', '0', '--redis', `redis://127.0.0.1:${port}`])
    await logged(child, 'listening')
    await child.kill('SIGTERM')
    expect(await child.stopped).toEqual({ code: 0, signal: null })
    expect(child.lines.some((line) => record(line)?.['msg'] === 'ready')).toBe(false)
  })

  test('a second signal ends it at once, even with connected peers', async () => {
    const child = await peerage(['serve', '--port', '0'])
    const { port } = (await logged(child, 'ready')) as { port: number }
    // Enough peers for a drain in several batches.
    for (let i = 0; i < 20; i++) {
      const socket = new WebSocket(`ws://127.0.0.1:${port}/peerjs?key=peerjs&id=p${i}&token=t${i}`)
      cleanups.push(() => socket.terminate())
      await once(socket, 'message')
    }
    await child.kill('SIGTERM')
    await logged(child, 'draining')
    await child.kill('SIGTERM')
    expect(await child.stopped).toEqual({ code: 143, signal: null })
    expect(child.lines.some((line) => record(line)?.['msg'] === 'stopped')).toBe(false)
  })

  test('refuses a Redis older than 7 and says so', async () => {
    const redis = await startRedis()
    cleanups.push(() => redis.stop())
    const link = await startMeddler(redis.port)
    cleanups.push(() => link.stop())
    link.rewrite((text) => text.replaceAll(/((?:redis|valkey)_version:)\d+/g, '$16'))
    const { code, text } = await ended(['serve', '--port', '0', '--redis', link.url])
    expect(text).toMatch(/peerage: .*Redis.* 6\.\d+\.\d+.*7/)
    expect(code).toBe(1)
  })

  test('serves TLS with a certificate and a key from files', async () => {
    const certificates = await makeCertificates()
    cleanups.push(() => certificates.remove())
    const { cert, key, ca } = certificates
    const child = await peerage(['serve', '--port', '0', '--tls-cert', cert, '--tls-key', key])
    const { url } = await logged(child, 'ready')
    expect(url).toMatch(/^https:\/\//)
    // A separate process, because Node reads NODE_EXTRA_CA_CERTS only at start.
    const script = `fetch(${JSON.stringify(`${String(url)}/healthz`)}).then((r) => console.log('status', r.status))`
    const asked = await startChild({
      command: process.execPath,
      args: ['-e', script],
      env: { NODE_EXTRA_CA_CERTS: ca },
    })
    expect(await asked.line((line) => /^status (\d+)$/.exec(line)?.[1], START_MS)).toBe('200')
  })

  test('the standalone P2P server listens on UDP and TCP, and exits with 0', async () => {
    const port = await freePortBoth()
    const child = await peerage(['stun', '--port', String(port), '--host', '127.0.0.1'])
    expect(await logged(child, 'ready')).toMatchObject({ port, url: `stun:127.0.0.1:${port}` })
    const found = await ended(['doctor', '--port', '0', '--p2p-server', `127.0.0.1:${port}`])
    expect(found.text).toMatch(new RegExp(`ok {4}p2p server {4}127\\.0\\.0\\.1:${port} answers STUN`))
    const second = await ended(['stun', '--port', String(port), '--host', '127.0.0.1'])
    expect(second).toMatchObject({
      code: 1,
      text: expect.stringContaining(`port ${port} on 127.0.0.1 is taken`),
    })
    await child.kill('SIGTERM')
    expect(await child.stopped).toEqual({ code: 0, signal: null })
  })
})

describe('cluster', () => {
  // The command installs no binaries, so the test installs missing ones first.
  beforeAll(async () => {
    for (const part of [REDIS, HAPROXY]) await findBinary(part)
  })
  const URL_LINE = /^Open (http:\/\/127\.0\.0\.1:\d+\/) in a browser, and the link that the page shows/

  async function startCluster(
    flags: readonly string[] = [],
    env: Record<string, string> = {},
  ): Promise<{ child: Child; url: string; pids: number[] }> {
    const port = await freePort()
    const child = await peerage(['cluster', '--nodes', '3', '--port', String(port), ...flags], env)
    const url = await child.line((line) => URL_LINE.exec(line)?.[1], 60_000)
    const pids = await childrenOf(child.pid)
    cleanups.push(() => {
      for (const pid of pids) if (isAlive(pid)) process.kill(pid, 'SIGKILL')
    })
    expect(pids).toHaveLength(5) // Redis, three nodes, HAProxy
    return { child, url, pids }
  }

  test('--nodes 3 answers through HAProxy, and one Ctrl-C ends all its processes', async () => {
    const { child, url, pids } = await startCluster()
    expect((await fetch(`${url}readyz`)).status).toBe(200)
    const redis = await child.line((line) => /^redis +(redis:\S+)$/.exec(line)?.[1], START_MS)
    const links = ['--redis', redis, '--links-host', '127.0.0.1']
    const { text } = await ended(['doctor', '--port', '0', ...links])
    expect(text).toMatch(/^ok {4}links {9}3 of 3 live nodes can be reached: /m)
    await child.kill('SIGINT')
    expect(await child.stopped).toEqual({ code: 0, signal: null })
    expect(pids.filter(isAlive)).toEqual([])
  })

  // It once had no such flags, and ignored PEERAGE_Y_WEBRTC without a word.
  test('a flag switches a wire on, and a variable that is ignored is named', async () => {
    const { child, url } = await startCluster(['--y-webrtc', '--matchbox'], { PEERAGE_TRYSTERO: '1' })
    const wires = url.replace('http', 'ws')
    const says = `Clients of y-webrtc connect to ${wires}y-webrtc/{app}`
    await child.line((line) => line === says || undefined, START_MS)
    expect(child.output()).toMatch(/these are ignored: .*PEERAGE_TRYSTERO/)
    const opened = async (path: string): Promise<boolean> => {
      const socket = new WebSocket(wires + path)
      cleanups.push(() => socket.terminate())
      return once(socket, 'open').then(
        () => true,
        () => false,
      )
    }
    expect(await Promise.all(['y-webrtc', 'matchbox/table', 'trystero'].map(opened))).toEqual([
      true,
      true,
      false,
    ])
  })

  test('a killed node is only reported; a killed Redis ends the cluster', async () => {
    const { child, url, pids } = await startCluster()
    const node = await child.line((line) => /^node1 .* pid (\d+)$/.exec(line)?.[1], 1_000)
    process.kill(Number(node), 'SIGKILL')
    await child.line((line) => (line.includes('the others go on') ? true : undefined), START_MS)
    expect((await fetch(`${url}version`)).status).toBe(200)
    const redis = pids[0]
    if (redis === undefined) throw new Error('no Redis')
    process.kill(redis, 'SIGKILL')
    expect(await child.stopped).toEqual({ code: 1, signal: null })
    expect(child.output()).toContain('redis ended by itself (signal SIGKILL)')
    expect(pids.filter(isAlive)).toEqual([])
  })

  test('when the command is killed, its processes end too', async () => {
    const { child, pids } = await startCluster()
    await child.kill('SIGKILL')
    await eventually('all processes are gone', () => Promise.resolve(pids.some(isAlive) ? undefined : true), {
      deadlineMs: 30_000,
    })
  })
})

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false // ESRCH: no such process
  }
}

/** The child processes, in the order in which they started. */
async function childrenOf(parent: number): Promise<number[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name))
  const children: number[] = []
  for (const pid of pids) {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '')
    // The process name in the second field may contain spaces. The parent's pid is the second field after it.
    if (stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1] === String(parent)) children.push(Number(pid))
  }
  return children.sort((a, b) => a - b)
}

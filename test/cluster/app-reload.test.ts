import { copyFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { connect, type ConnectOptions, type Peer } from '@peerage/client'
import { makeCertificates } from '@peerage/test-support/certificates.js'
import { makeDirectory, removeDirectory } from '@peerage/test-support/fixture.js'
import type { Child } from '@peerage/test-support/process.js'
import { useCommand } from './command.js'

// An operator changes the file of a running node, and says so with SIGHUP.

const START_MS = 20_000
const OLD_KEY = 'the-key-of-last-year'
const NEW_KEY = 'the-key-of-this-year'
const { cleanups, peerage } = useCommand()

type LogLine = Record<string, unknown>

interface Running {
  child: Child
  url: string
  admin: string
  /** Writes the file, sends SIGHUP, and resolves with the first line of the log that fits. */
  reload: (file: string, msg: string, fits?: (line: LogLine) => boolean) => Promise<LogLine>
  join: (options: ConnectOptions) => Promise<Peer>
}

async function running(file: string): Promise<Running> {
  const directory = await makeDirectory('app-reload')
  cleanups.push(() => removeDirectory(directory))
  const path = join(directory, 'peerage.yaml')
  await writeFile(path, file)
  const child = await peerage(['serve', '--config', path, '--port', '0', '--admin-port', '0'])
  const logged = (msg: string, fits: (line: LogLine) => boolean = () => true): Promise<LogLine> =>
    child.line((line) => {
      const record: LogLine = line.startsWith('{') ? JSON.parse(line) : {}
      return record['msg'] === msg && fits(record) ? record : undefined
    }, START_MS)
  const { url, admin } = await logged('ready')
  return {
    child,
    url: String(url),
    admin: String(admin),
    reload: async (text, msg, fits) => {
      await writeFile(path, text)
      await child.kill('SIGHUP')
      return logged(msg, fits)
    },
    join: async (options) => {
      const peer = await connect(String(url), { p2p: false, ...options })
      cleanups.push(() => peer.close())
      return peer
    },
  }
}

const changes = (path: string) => (line: LogLine) => JSON.stringify(line['changed']).includes(`"${path}"`)

/** The samples of the metrics that begin so. */
async function metrics(admin: string, start: string): Promise<string[]> {
  const text = await (await fetch(`${admin}/metrics`)).text()
  return text.split('\n').filter((line) => line.startsWith(start))
}

test('SIGHUP adds an app, rotates the key of another and removes a third, and no other socket ends', async () => {
  const { url, admin, reload, join } = await running(`
defaultApp: chat
apps:
  chat: { access: { key: ${OLD_KEY} } }
  old:
`)
  const chat = await join({ name: 'ann', token: OLD_KEY })
  const old = await join({ name: 'bob', app: 'old' })
  const states: string[] = []
  chat.on('state', ({ state }) => states.push(state))
  const ended = new Promise<unknown>((resolve) => {
    old.on('state', (state) => void (state.state === 'closed' && resolve(state)))
  })
  await expect(connect(url, { app: 'games', p2p: false })).rejects.toMatchObject({ code: 'forbidden' })

  await reload(
    `
defaultApp: chat
apps:
  chat: { access: { key: ${NEW_KEY}, previousKey: ${OLD_KEY} } }
  games:
`,
    'reloaded',
    changes('apps.games'),
  )
  const games = await join({ name: 'cat', app: 'games' })
  await join({ name: 'dan', token: OLD_KEY })
  await join({ name: 'eve', token: NEW_KEY })
  expect(await ended).toMatchObject({ reason: 'refused' })
  await expect(connect(url, { app: 'old', p2p: false })).rejects.toMatchObject({ code: 'forbidden' })

  await reload(
    `
defaultApp: chat
apps:
  chat: { access: { key: ${NEW_KEY} } }
  games: { origins: [https://games.example] }
`,
    'reloaded',
    (line) => changes('apps.games')(line) && !changes('apps.old')(line),
  )
  await expect(connect(url, { token: OLD_KEY, p2p: false })).rejects.toMatchObject({ code: 'forbidden' })
  await join({ name: 'fay', token: NEW_KEY })
  expect([states, chat.state.state, games.state.state]).toEqual([[], 'online', 'online'])
  expect(await metrics(admin, 'peerage_app_connections')).toEqual([
    'peerage_app_connections{app="chat"} 4',
    'peerage_app_connections{app="games"} 1',
  ])
  expect(await metrics(admin, 'peerage_reloads_total')).toEqual([
    'peerage_reloads_total{result="failed"} 0',
    'peerage_reloads_total{result="ok"} 2',
  ])
  expect(await metrics(admin, 'peerage_app_refusals_total')).toEqual([
    'peerage_app_refusals_total{app="other",reason="forbidden"} 2',
    'peerage_app_refusals_total{app="chat",reason="forbidden"} 1',
  ])
})

test('a broken file keeps the former settings, and the log says what is wrong with its file and line', async () => {
  const { admin, reload, join } = await running('apps:\n  default: {}\n')
  const peer = await join({ name: 'ann' })
  const broken = await reload(
    'apps:\n  default:\n    access:\n      mode: lock\n  games: { origin: [x] }\n',
    'reload failed: the former settings stay in use',
  )
  expect(broken['problems']).toEqual([
    expect.stringMatching(
      /^apps\.games\.origin \(.*peerage\.yaml:5\): is not a setting; did you mean apps\.games\.origins\?$/,
    ),
    expect.stringMatching(
      /^apps\.default\.access\.mode \(.*peerage\.yaml:4\): must be one of open, key, token, webhook; it is "lock"$/,
    ),
  ])
  await reload('{', 'reload failed: the former settings stay in use', (line) =>
    JSON.stringify(line).includes('is not YAML'),
  )
  await join({ name: 'bob' })
  expect(peer.state.state).toBe('online')
  expect(await metrics(admin, 'peerage_reloads_total')).toEqual(['peerage_reloads_total{result="failed"} 2'])
})

test('a changed setting that needs a restart is named, and the others take effect', async () => {
  const { reload, join } = await running('log: { level: info }\n')
  const line = await reload(
    `log: { level: warn }\nhost: 127.0.0.2\naccess: { key: ${NEW_KEY} }\nlimits: { node: { connections: 7 } }\n`,
    'these settings have changed and need a restart',
  )
  expect(line['settings']).toEqual(['host', 'limits.node.connections', 'log.level'])
  await join({ name: 'ann', token: NEW_KEY })
})

test('SIGHUP also reads TLS files again, even if the settings are wrong', async () => {
  const certificates = [await makeCertificates(), await makeCertificates()] as const
  cleanups.push(...certificates.map((made) => () => made.remove()))
  const directory = await makeDirectory('app-reload-tls')
  cleanups.push(() => removeDirectory(directory))
  const [cert, key] = [join(directory, 'cert.pem'), join(directory, 'key.pem')]
  await copyFile(certificates[0].cert, cert)
  await copyFile(certificates[0].key, key)
  const { child, reload } = await running(`tls: { cert: ${cert}, key: ${key} }\n`)
  await copyFile(certificates[1].cert, cert)
  await copyFile(certificates[1].key, key)
  await reload('tls: 7\n', 'reload failed: the former settings stay in use')
  await child.line((line) => (line.includes('reading the TLS files again') ? true : undefined), START_MS)
  await child.line((line) => (line.includes('certificate renewed') ? true : undefined), START_MS)
})

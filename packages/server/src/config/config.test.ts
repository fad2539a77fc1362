import { readFileSync } from 'node:fs'
import { defaultTimes } from '@peerage/core'
import { describe, expect, test } from 'vitest'
import { nodeDefinition } from './check.js'
import { config, load, problems } from '../testing/load-config.js'
import { redacted, toMarkdown, toYaml } from './print.js'
import { resolve } from './load.js'
import { printedSettings } from './printed-settings.js'
import { closest, fromText, textLeaves } from './settings.js'
import { defaultConfig } from './schema.js'
import { readEnvironment } from './sources.js'
import { stunDefinition } from './stun.js'

const { leaves } = nodeDefinition

describe('the source of a setting', () => {
  test('is the default if no source sets it, and the default times are those of core', () => {
    expect(config({})).toEqual(defaultConfig)
    expect(defaultConfig.times).toEqual(defaultTimes)
  })

  test('is the flag before the environment before the file before the default', () => {
    const file = 'port: 1003\nhost: ::1\nlog: { level: warn }'
    const env = { PEERAGE_PORT: '1002', PEERAGE_HOST: '127.0.0.2' }
    const loaded = load({ flags: { port: 1001 }, env, file })
    expect(loaded).toMatchObject({
      ok: true,
      config: { port: 1001, host: '127.0.0.2', log: { level: 'warn' } },
    })
    expect(loaded.ok && Object.fromEntries(loaded.sources)).toEqual({
      port: '--port',
      host: 'PEERAGE_HOST',
      'log.level': 'peerage.yaml:3',
    })
  })

  test('may be a flag or a variable of its own for each setting, and each has a description', () => {
    const written = textLeaves(leaves)
    for (const key of ['path', 'flag', 'variable'] as const)
      expect(new Set(written.map((leaf) => leaf[key])).size).toBe(written.length)
    expect(leaves.filter((leaf) => !leaf.path.startsWith('apps.'))).toEqual(written)
    expect(leaves.filter((leaf) => leaf.about === '')).toEqual([])
    expect(leaves.find((leaf) => leaf.path === 'redis.url')).toMatchObject({
      flag: '--redis',
      variable: 'PEERAGE_REDIS',
    })
    expect(leaves.find((leaf) => leaf.path === 'p2p.useAsP2PServer')?.flag).toBe('--use-as-p2p-server')
  })

  test('may be text, which is parsed by the type of the setting', () => {
    const env = {
      PEERAGE_PEERJS_ALLOW_DISCOVERY: 'yes',
      PEERAGE_ORIGINS: 'https://a.example, https://b.example',
      PEERAGE_PEERJS_KEY: 'one=app-1,two=app-2',
      PEERAGE_TIMES_DRAIN_MS: '5000',
    }
    expect(config({ env })).toMatchObject({
      peerjs: { allowDiscovery: true, key: { one: 'app-1', two: 'app-2' } },
      origins: ['https://a.example', 'https://b.example'],
      times: { drainMs: 5_000 },
    })
    expect(fromText('boolean', 'maybe')).toBe('maybe')
    expect(fromText('number', '1e3')).toBe('1e3')
  })

  test('is not a variable that is empty or a key without a value', () => {
    expect(config({ env: { PEERAGE_REDIS: '', PEERAGE_PORT: '' }, file: 'port:\ntls:\n' })).toEqual(
      defaultConfig,
    )
  })
})

describe('secrets', () => {
  test('come from the file that _FILE names, without its last line break', () => {
    const given = {
      env: { PEERAGE_ACCESS_KEY_FILE: '/run/k' },
      files: { '/run/k': 'a-key-of-20-letters!\n' },
    }
    expect(config(given).access.key).toBe('a-key-of-20-letters!')
  })

  test('from a file that cannot be read are a problem of their setting', () => {
    expect(problems({ env: { PEERAGE_REDIS_FILE: '/nowhere' } })).toEqual([
      "redis.url (PEERAGE_REDIS_FILE): cannot be read: ENOENT: no such file, open '/nowhere'",
    ])
  })

  test('that are set twice are a problem, and _FILE exists only for secrets', () => {
    const env = { PEERAGE_REDIS: 'redis://a', PEERAGE_REDIS_FILE: '/x', PEERAGE_HOST_FILE: '/x' }
    const found = problems({ env, files: { '/x': 'redis://b' } })
    expect(found).toHaveLength(2)
    expect(found).toContain(
      'redis.url (PEERAGE_REDIS_FILE): is set, and PEERAGE_REDIS is set too: unset one of them',
    )
    expect(found.join()).toContain('PEERAGE_HOST_FILE (environment): is not a variable of peerage')
  })

  test.each([
    ['redis://user:pw@host:1/2', 'redis://user:[redacted]@host:1/2'],
    ['redis://:pw@host', 'redis://:[redacted]@host'],
    ['redis+sentinel://u:p%40@a,b/m', 'redis+sentinel://u:[redacted]@a,b/m'],
    ['redis://token@host', 'redis://[redacted]@host'],
    ['redis://host/1', 'redis://host/1'],
  ])('%s is shown as %s', (url, shown) => {
    const redis = leaves.find(({ path }) => path === 'redis.url')
    expect(redis && redacted(redis, url)).toBe(shown)
  })

  test('are never shown in the printed configuration or in a problem', () => {
    const secrets = { PEERAGE_ACCESS_KEY: 'geheim-geheim-geheim', PEERAGE_REDIS: 'redis://u:geheim@host/1' }
    const loaded = load({ env: secrets })
    expect(loaded.ok).toBe(true)
    if (!loaded.ok) return
    const yaml = toYaml(printedSettings(loaded.config, loaded.sources))
    expect(yaml).not.toContain('geheim')
    expect(yaml).toContain('redis://u:[redacted]@host/1')
    expect(problems({ env: { PEERAGE_ACCESS_KEY: 'geheim' } }).join()).not.toContain('geheim')
    expect(problems({ env: { PEERAGE_REDIS: 'foo://u:geheim@host' } }).join()).not.toContain('geheim')
    for (const leaf of leaves) if (leaf.secret) expect(redacted(leaf, 'geheim')).toBe('[redacted]')
  })
})

describe('a problem names the setting, its source and the rule', () => {
  test.each([
    ['port', '70000', 'port (PEERAGE_PORT): must be a whole number from 0 to 65535; it is 70000'],
    ['port', 'http', 'port (PEERAGE_PORT): must be a whole number from 0 to 65535; it is "http"'],
    ['open', 'perhaps', 'open (PEERAGE_OPEN): must be true or false; it is "perhaps"'],
    [
      'log.level',
      'loud',
      'log.level (PEERAGE_LOG_LEVEL): must be one of trace, debug, info, warn, error, silent; it is "loud"',
    ],
    ['redis.url', 'http://h', /^redis\.url \(PEERAGE_REDIS\): scheme must be one of redis/],
    ['redis.prefix', '{pg}', /^redis\.prefix \(PEERAGE_REDIS_PREFIX\): must not contain/],
    ['times.beatMs', '0', /^times\.beatMs \(PEERAGE_TIMES_BEAT_MS\): must be a whole number from 1/],
    ['admin.port', '9000', 'admin.port (PEERAGE_ADMIN_PORT): must differ from port (9000)'],
    ['access.key', 'short', 'access.key (PEERAGE_ACCESS_KEY): must be at least 16 characters'],
    ['origins', 'null', /^origins\.0 \(PEERAGE_ORIGINS\): must not be null: .*access\.key; it is "null"$/],
    ['origins', 'a.example', /^origins\.0 .*must be an exact origin /],
    ['origins', 'https://a.example/', /^origins\.0 .*; browsers send https:\/\/a\.example;/],
    ['origins', 'https://A.example', /^origins\.0 .*; browsers send https:\/\/a\.example;/],
    ['origins', 'https://a.example:443', /^origins\.0 .*; browsers send https:\/\/a\.example;/],
    ['origins', 'https://*.example', /^origins\.0 .*\* is not a wildcard here/],
    ['origins', '*', /^origins\.0 .*\* is not a wildcard here/],
    ['origins', 'wss://a.example', /^origins\.0 .*; browsers send https:\/\/a\.example;/],
    ['origins', 'capacitor://localhost/', /^origins\.0 .*; browsers send capacitor:\/\/localhost;/],
    ['origins', 'chrome-extension:abc', /^origins\.0 .*must be an exact origin /],
    ...[
      'javascript://x',
      'data://x',
      'mailto://x',
      'ftp://a.example',
      'about://blank',
      'htps://a.example',
    ].map((origin): [string, string, RegExp] => [
      'origins',
      origin,
      /^origins\.0 .*must be an exact origin .*; pages of \w+: cannot connect\. The scheme must be one of http, https, capacitor, /,
    ]),
    [
      'trustedProxies',
      '10.0.0.0/33',
      /^trustedProxies\.0 \(PEERAGE_TRUSTED_PROXIES\): must be an address or a network/,
    ],
    ['trustedProxies', '1', /^trustedProxies\.0 /],
    ['defaultApp', 'No Spaces', /^defaultApp \(PEERAGE_DEFAULT_APP\): must be an app/],
    ['taken', 'fight', 'taken (PEERAGE_TAKEN): must be one of refuse, replace; it is "fight"'],
    [
      'limits.frameBytes',
      '10',
      /^limits\.frameBytes \(PEERAGE_LIMITS_FRAME_BYTES\): must be a whole number from 1024/,
    ],
    ['path', '/ä', /only letters without accents/],
    ['path', '/a/../b', /only letters without accents/],
    ['path', '/./a', /only letters without accents/],
    ['path', '/%C3%A4', /only letters without accents/],
    ['path', '/a b', /only letters without accents/],
    ['path', '/a?b', /only letters without accents/],
    ['path', 'tier', /^path \(PEERAGE_PATH\): must begin with \//],
    ['peerjs.path', 'nope', /^peerjs\.path \(PEERAGE_PEERJS_PATH\): must begin with \//],
    ['peerjs.key', 'v1', /^peerjs\.key \(PEERAGE_PEERJS_KEY\): must not be v1 or peerage/],
    ['p2p.advertise', 'host', /^p2p\.advertise \(PEERAGE_P2P_ADVERTISE\): must be host:port/],
    ['p2p.server', 'host:0', /^p2p\.server /],
    [
      'p2p.turn.urls',
      'stun:a',
      /^p2p\.turn\.urls\.0 \(PEERAGE_P2P_TURN_URLS\): must be a turn: or turns: URL .*: stun: is not a TURN server/,
    ],
    ...[
      'turn://a:3478',
      'turn:u@a',
      'turn:a/path',
      'turn:a?x=y',
      'turn:[fe80::1%eth0]',
      'turn:a:0',
      'turn:',
    ].map((url): [string, string, RegExp] => [
      'p2p.turn.urls',
      url,
      /^p2p\.turn\.urls\.0 .*: must be a turn: or turns: URL .*: it m(ust|ay) /,
    ]),
    [
      'p2p.turn.urls',
      Array.from({ length: 9 }, (_, index) => `turn:host${index}`).join(),
      /^p2p\.turn\.urls \(PEERAGE_P2P_TURN_URLS\): must be at most 8 URLs/,
    ],
    ['p2p.server', '[:::]:1', /^p2p\.server .*: must be host:port/],
    ['p2p.server', '256.1.1.1:1', /^p2p\.server .*: must be host:port/],
    [
      'p2p.turn.urls',
      'turn:a',
      'p2p.turn.urls (PEERAGE_P2P_TURN_URLS): needs p2p.turn.secret: the static-auth-secret of these servers',
    ],
    [
      'p2p.turn.secret',
      'x',
      'p2p.turn.secret (PEERAGE_P2P_TURN_SECRET): needs p2p.turn.urls: the servers that share it',
    ],
    ['p2p.turn.previousSecret', 'x', /^p2p\.turn\.previousSecret .*: needs p2p\.turn\.secret/],
    ['relay.messageBytes', '99999999', /^relay\.messageBytes /],
    ['links.most', '0', 'links.most (PEERAGE_LINKS_MOST): must be a whole number from 1 to 10000; it is 0'],
    ['links.advertise', '10.0.0.1', /^links\.advertise \(PEERAGE_LINKS_ADVERTISE\): must be host:port/],
    [
      'links.advertise',
      '10.0.0.1:9200',
      'links.advertise (PEERAGE_LINKS_ADVERTISE): needs links.host: without it there are no links',
    ],
    ['links.port', '9200', /^links\.port \(PEERAGE_LINKS_PORT\): needs links\.host/],
    ['links.most', '5', /^links\.most \(PEERAGE_LINKS_MOST\): needs links\.host/],
    ['links.plain', 'yes', /^links\.plain \(PEERAGE_LINKS_PLAIN\): needs links\.host/],
    [
      'links.host',
      '127.0.0.1',
      'links.host (PEERAGE_LINKS_HOST): needs redis.url: without Redis there are no other nodes to link to',
    ],
    ['tls.cert', 'a.pem', 'tls.cert (PEERAGE_TLS_CERT): needs tls.key as well'],
    ['redis.key', 'a.pem', 'redis.key (PEERAGE_REDIS_KEY): needs redis.cert as well'],
  ])('%s = %s', (path, text, expected) => {
    const variable = leaves.find((leaf) => leaf.path === path)?.variable ?? ''
    const found = problems({ env: { [variable]: text } })
    expect(found).toHaveLength(1)
    if (typeof expected === 'string') expect(found[0]).toBe(expected)
    else expect(found[0]).toMatch(expected)
  })

  test('is not raised for origins of pages, of apps in a shell and of extensions', () => {
    const origins = [
      'https://app.example',
      'http://localhost:3000',
      'http://[::1]:3000',
      'capacitor://localhost',
      'ionic://localhost',
      'tauri://localhost',
      'http://tauri.localhost',
      'app://obsidian.md',
      'app://.',
      'file://',
      'vscode-webview://1a2b',
      'chrome-extension://abcdefghijklmnopabcdefghijklmnop',
      'moz-extension://5c2b4a52-7d0f-4e5a-9b1e-2f6a0c1d3e4f',
      'safari-web-extension://5C2B4A52-7D0F-4E5A-9B1E-2F6A0C1D3E4F',
    ]
    expect(config({ env: { PEERAGE_ORIGINS: origins.join(',') } })).toMatchObject({ origins })
  })

  test('does not hide another one: all problems of all sources are reported at once', () => {
    const found = problems({
      flags: { port: 'x' },
      env: { PEERAGE_ORIGINS: 'null', PEERAGE_HSOT: 'h' },
      file: 'redis: { urll: redis://a }\ntimes:\n  beatMs: 9000\nhost: 0.0.0.0\n',
    })
    expect(found).toEqual([
      'PEERAGE_HSOT (environment): is not a variable of peerage; did you mean PEERAGE_HOST?',
      'redis.urll (peerage.yaml:1): is not a setting; did you mean redis.url?',
      'port (--port): must be a whole number from 0 to 65535; it is "x"',
      expect.stringMatching(/^origins\.0 \(PEERAGE_ORIGINS\): must not be null/),
      'times.nodeLeaseMs (default): must be at least 5 beats (45000)',
      'times.nameTtlMs (default): must be at least 30 beats (270000)',
    ])
  })

  test('is told once: a rule for access that is wrong is not also a missing one', () => {
    const beyond = { PEERAGE_HOST: '0.0.0.0' }
    expect(problems({ env: { ...beyond, PEERAGE_ACCESS_KEY: 'short' } })).toEqual([
      'access.key (PEERAGE_ACCESS_KEY): must be at least 16 characters',
    ])
    expect(problems({ env: { ...beyond, PEERAGE_ORIGINS: '*' } })).toEqual([
      expect.stringMatching(/^origins\.0 \(PEERAGE_ORIGINS\): must be an exact origin/),
    ])
    expect(problems({ env: { ...beyond, PEERAGE_PORT: 'x' } })).toEqual([
      'port (PEERAGE_PORT): must be a whole number from 0 to 65535; it is "x"',
      expect.stringMatching(/^host \(PEERAGE_HOST\): is beyond loopback/),
    ])
  })

  test('is that of a file that cannot be read alone, since nobody knows what is missing then', () => {
    const environment = readEnvironment(nodeDefinition, {
      env: { PEERAGE_HOST: '0.0.0.0' },
      readFile: () => '',
    })
    const problem = { path: 'peerage.yaml', source: '--config', problem: 'cannot be read: EISDIR' }
    const unread = { values: new Map(), problems: [problem] }
    expect(resolve(nodeDefinition, [environment, { ...unread, isUnread: true }])).toEqual({
      ok: false,
      problems: [problem],
    })
    expect(resolve(nodeDefinition, [environment, unread])).toMatchObject({
      problems: [problem, { path: 'host' }],
    })
  })

  test('is raised for a file that is no YAML or no mapping, or with a section that is no mapping', () => {
    expect(problems({ file: '- 1' })).toEqual(['peerage.yaml: must be a mapping of settings'])
    expect(problems({ file: 'tls: yes' })).toEqual([
      'tls (peerage.yaml:1): must be a mapping, because it is a section of settings',
    ])
    expect(problems({ file: 'yWebrtc: true' })).toEqual([
      'yWebrtc (peerage.yaml:1): must be a mapping, because it is a section of settings, such as yWebrtc: { enabled: true }',
    ])
    expect(problems({ file: 'port: {a: 1}' })).toEqual([
      expect.stringMatching(/^port \(peerage\.yaml:1\): must be a whole/),
    ])
    expect(problems({ file: '__proto__: {port: 1}\nconstructor: 2' })).toHaveLength(2)
  })

  test.each([
    ['port: [1', 'peerage.yaml:1: is not YAML: the [ in this line is not closed'],
    [
      'apps:\n  a:\n    origins: [https://a.example,\n    access: {}\n  b: {}\n',
      'peerage.yaml:3: is not YAML: the [ in this line is not closed',
    ],
    ['tls: { cert: a\nport: 1\n', 'peerage.yaml:1: is not YAML: the { in this line is not closed'],
    ['a: [1, {b: 2]\nc: 3\n', 'peerage.yaml:1: is not YAML: the { in this line is not closed'],
    ['host: "a\nport: 1\n', 'peerage.yaml:1: is not YAML: the " in this line is not closed'],
    [
      'tls:\n\tcert: a\n key: b\nport: 1\n',
      'peerage.yaml:2: is not YAML: Tabs are not allowed as indentation',
    ],
  ])('is one problem, in the line where it begins, for a file that is not YAML: %j', (file, expected) => {
    expect(problems({ file })).toEqual([expected])
  })

  test('is raised for each key that is given twice, with both lines, and hides no other mistake', () => {
    const file =
      'host: localhost\napps:\n  default: {}\n  chat: { taken: x }\n  chat: {}\nhost: ::1\nport: x\npeerjs: { key: { a: default, a: chat } }\n'
    expect(problems({ file })).toEqual([
      'apps.chat (peerage.yaml:5): is given twice: the first time in line 4',
      'host (peerage.yaml:6): is given twice: the first time in line 1',
      'peerjs.key.a (peerage.yaml:8): is given twice: the first time in line 8',
      expect.stringMatching(/^port \(peerage\.yaml:7\): must be a whole number/),
      expect.stringMatching(/^apps\.chat\.taken \(peerage\.yaml:4\): must be one of/),
    ])
  })

  test('says where a setting belongs that is only of apps', () => {
    expect(problems({ file: 'peerjsKeys: [a]' })).toEqual([
      'peerjsKeys (peerage.yaml:1): is not a setting of the node, only of an app: apps.….peerjsKeys',
    ])
  })

  test.each(
    Object.entries({
      nodeLeaseMs: 9_999,
      graceMs: 100,
      deadlineMs: 15_000,
      nameTtlMs: 59_999,
      commandMs: 1_001,
    }),
  )('is raised for times that do not fit together: %s = %d', (key, ms) => {
    const found = problems({ flags: { [`times.${key}`]: ms } })
    expect(found).not.toEqual([])
    expect(found.join()).toContain(`times.${key} (--times.${key}): must be`)
  })
})

describe('a node that listens on', () => {
  test.each(['0.0.0.0', '::', '10.1.2.3', 'peers.example'])('%s needs an access rule or open', (host) => {
    expect(problems({ flags: { host } })).toEqual([
      expect.stringMatching(/^host \(--host\): is beyond loopback/),
    ])
    expect(problems({ flags: { host, open: true } })).toEqual([])
    expect(problems({ flags: { host, origins: ['https://a.example'] } })).toEqual([])
    expect(problems({ flags: { host, 'access.key': 'sixteen-letters!' } })).toEqual([])
  })

  test.each(['localhost', '127.0.0.1', '127.9.9.9', '::1'])('%s needs neither', (host) => {
    expect(problems({ flags: { host } })).toEqual([])
  })
})

describe('links to other nodes', () => {
  const flags = { 'redis.url': 'redis://localhost', 'links.host': '0.0.0.0' }

  test('are off unless a host is given', () => {
    expect(defaultConfig.links).toEqual({ host: null, port: 0, advertise: null, most: 256, plain: false })
    const env = {
      PEERAGE_REDIS: 'redis://localhost',
      PEERAGE_LINKS_HOST: '0.0.0.0',
      PEERAGE_LINKS_PORT: '9200',
      PEERAGE_LINKS_ADVERTISE: '[fd00::1]:9200',
      PEERAGE_LINKS_MOST: '10000',
    }
    expect(config({ env }).links).toEqual({
      host: '0.0.0.0',
      port: 9_200,
      advertise: '[fd00::1]:9200',
      most: 10_000,
      plain: false,
    })
  })

  test.each(['0.0.0.0', '::', '8.8.8.8', '2001:4860::1', '::ffff:8.8.8.8', 'example.com', 'node1'])(
    'need TLS on %s, which may be reachable from outside',
    (host) => {
      expect(problems({ flags: { ...flags, 'links.host': host } })).toEqual([])
      expect(problems({ flags: { ...flags, 'links.host': host, 'links.plain': true } })).toEqual([
        expect.stringContaining(
          `links.plain (--links.plain): needs a private IP address in links.host: ${host} may be`,
        ),
      ])
    },
  )

  test.each([
    '127.0.0.1',
    '10.1.2.3',
    '192.168.1.1',
    '100.64.0.1',
    '169.254.1.1',
    'fd00::1',
    '::1',
    'localhost',
  ])('may be without TLS on %s', (host) => {
    expect(problems({ flags: { ...flags, 'links.host': host, 'links.plain': true } })).toEqual([])
  })

  test.each(['8.8.8.8:9200', '[2001:4860::1]:9200', 'node1.example:9200'])(
    'need TLS at the advertised address %s, which may be reachable from outside',
    (advertise) => {
      const named = { ...flags, 'links.host': '127.0.0.1', 'links.advertise': advertise }
      expect(problems({ flags: named })).toEqual([])
      expect(problems({ flags: { ...named, 'links.plain': true } })).toEqual([
        expect.stringMatching(/^links\.plain .*: needs a private IP address in links\.advertise: /),
      ])
      const inside = { 'links.advertise': '10.0.0.7:9200', 'links.plain': true }
      expect(problems({ flags: { ...named, ...inside } })).toEqual([])
    },
  )

  test.each(['0.0.0.0:1', '[::]:1'])(
    'cannot be advertised as %s, because nobody can connect to it',
    (advertise) => {
      expect(problems({ flags: { ...flags, 'links.advertise': advertise } })).toEqual([
        expect.stringMatching(/^links\.advertise .*: must be an address that the other nodes can connect to/),
      ])
    },
  )

  test('need a port of their own', () => {
    expect(problems({ flags: { ...flags, 'links.port': 9_000 } })).toEqual([
      'links.port (--links.port): must differ from port (9000)',
    ])
    expect(problems({ flags: { ...flags, 'links.port': 9_100, 'admin.port': 9_100 } })).toEqual([
      'links.port (--links.port): must differ from admin.port (9100)',
    ])
  })
})

test('variables of Kubernetes service links, of other programs and of tests are ignored', () => {
  const env = {
    PEERAGE_SERVICE_HOST: '10.0.0.1',
    PEERAGE_SERVICE_PORT_HTTP: '9000',
    PEERAGE_PORT: 'tcp://10.0.0.1:9000',
    PEERAGE_PORT_9000_TCP_ADDR: '10.0.0.1',
    PEERAGE_REDIS_PORT: 'tcp://10.0.0.2:6379',
    PEERAGE_REDIS_SERVICE_HOST: '10.0.0.2',
    PEERAGE_STUN_PORT: '9901',
    PEERAGE_NODE_1: 'a:1',
    PEERAGE_TEST_PARTS: 'binary',
    HOME: '/root',
  }
  expect(config({ env })).toEqual(defaultConfig)
})

test('the table of settings has a row for each setting, with its names and default', () => {
  const rows = toMarkdown(leaves).split('\n').slice(2)
  expect(rows).toHaveLength(leaves.length)
  expect(rows).toContain(
    '| `port` | `--port` | `PEERAGE_PORT` | `9000` | TCP port; 0 picks a free one whose next port is free for UDP |',
  )
})

test('TURN URLs are normalized to the spelling that every WebRTC implementation accepts', () => {
  const said = config({
    env: {
      PEERAGE_P2P_TURN_URLS: 'TURN:A.example, turns:[2001:DB8:0::1]:443?transport=TCP',
      PEERAGE_P2P_TURN_SECRET: 'x',
    },
  })
  expect(said.p2p.turn.urls).toEqual(['turn:a.example', 'turns:[2001:db8::1]:443?transport=tcp'])
})

test('a printed configuration can be loaded as a file, with the same result', () => {
  const said = config({ flags: { port: 1, 'peerjs.key': { k: 'app-1' }, origins: ['https://a.example'] } })
  const again = load({ file: toYaml(printedSettings(said, new Map([['port', '--port']]))) })
  expect(again).toMatchObject({ ok: true, config: { ...said, access: { ...said.access, mode: 'open' } } })
})

test('a hint is given for a slip, but not for a very different word', () => {
  expect(closest('--prot', ['--port', '--host'])).toBe('--port')
  expect(closest('--banana', ['--port', '--host'])).toBeUndefined()
  expect(closest('--links', ['--link', '--linkshost', '--links-host', '--links-port'])).toBe('--links-host')
  expect(closest('PEERAGE_LINKS', ['PEERAGE_HOST', 'PEERAGE_LINKS_HOST'])).toBe('PEERAGE_LINKS_HOST')
})

test('docs/settings.md holds the settings as they are (else: node scripts/docs.mjs)', () => {
  const document = readFileSync(new URL('../../../../docs/settings.md', import.meta.url), 'utf8')
  expect(document).toContain(toMarkdown(leaves))
  expect(document).toContain(toMarkdown(stunDefinition.leaves))
})

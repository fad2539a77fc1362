import { generateKeyPairSync } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { peerage } from '../testing/command-line.js'

const COMMANDS = [
  'serve',
  'stun',
  'check-config',
  'print-config',
  'doctor',
  'token',
  'cluster',
  'send',
  'receive',
  'version',
] as const

describe('help', () => {
  test.each([undefined, 80, 100, 300])(
    'fits into a terminal of %s columns, and into 100',
    async (columns) => {
      for (const command of COMMANDS) {
        const { code, out } = await peerage([command, '--help'], { columns })
        expect(code).toBe(0)
        for (const line of out.split('\n')) {
          // An example is a line to copy.
          if (/^ {2}peerage /.test(line)) continue
          expect(line.length, line).toBeLessThanOrEqual(Math.min(columns ?? 80, 100))
        }
      }
    },
  )

  test.each(COMMANDS)('of %s has an example, and says how the program was started', async (command) => {
    const startedAs = { program: 'node peerage.js', serve: 'npm start --' }
    const { out } = await peerage([command, '--help'], { startedAs })
    expect(out).toMatch(/\nExamples?:\n {2}# .+\n {2}(?:node peerage\.js |npm start --)/)
  })

  test('of serve has its flags in groups, each with its default', async () => {
    const { out } = await peerage(['serve', '--help'], { columns: 100 })
    const headings = Array.from(out.matchAll(/^[A-Z].*:$/gm), ([heading]) => heading)
    expect(headings).toEqual([
      'Options:',
      'Network:',
      'Who may come in:',
      'Redis:',
      'Links between nodes:',
      'P2P and TURN:',
      'Relay through the server:',
      'PeerJS clients:',
      'Other clients:',
      'API for application servers:',
      'Limits:',
      'Times:',
      'Operation:',
      'Examples:',
    ])
    const words = out.replaceAll(/\s+/g, ' ')
    expect(words).toMatch(/ --port <number> TCP port; [^()]*\(default 9000\) --/)
    expect(words).toMatch(/ --log-format <text> format of log lines; [^()]*\(default auto\)/)
    expect((await peerage(['doctor', '--help'])).out).not.toContain('--port <number>')
  })

  test('a command line without a command says what to do', async () => {
    const { code, err } = await peerage([])
    expect(code).toBe(2)
    expect(err).toContain('  # start one node on this machine\n  peerage serve')
  })
})

test.each(
  [[], ...COMMANDS.map((command) => [command])].flatMap((words) =>
    ['-v', '--version'].map((flag) => [...words, flag]),
  ),
)('%s %s prints the version', async (...args) => {
  expect(await peerage(args.filter((word) => word !== undefined))).toMatchObject({
    code: 0,
    out: expect.stringMatching(/^\d+\.\d+\.\d+/),
  })
})

test.each([
  [['srve'], "unknown command 'srve'", 'Did you mean serve?'],
  [['help', 'srve'], "unknown command 'srve'", 'Did you mean serve?'],
  [['srve', '--help'], "unknown command 'srve'", 'Did you mean serve?'],
  [['serve', '--prot', '1'], '--prot (command line): is not a flag of this command', 'did you mean --port?'],
  [['serve', '--log-formt', 'json'], '--log-formt', 'did you mean --log-format?'],
  [['cluster', '--nods', '3'], "unknown option '--nods'", 'Did you mean --nodes?'],
  [['cluster', '--y-webrtx'], "unknown option '--y-webrtx'", 'Did you mean --y-webrtc?'],
])('%j suggests the nearest one', async (args, what, hint) => {
  const { code, err } = await peerage(args)
  expect(code).toBe(2)
  expect(err).toContain(what)
  expect(err).toContain(hint)
})

test.each([
  [['serve', '--quite-wrong'], '--quite-wrong (command line): is not a flag of this command; see --help'],
  [['cluster', '--quite-wrong'], "error: unknown option '--quite-wrong'\nSee peerage cluster --help"],
  [['cluster', 'three'], 'Expected 0 arguments but got 1.\nSee peerage cluster --help'],
  [['token', 'verify', '--app', 'a', '--quite-wrong'], 'See peerage token verify --help'],
  [['frobnicate'], "error: unknown command 'frobnicate'\nSee peerage --help"],
])('%j names the help', async (args, says) => {
  const { code, err } = await peerage(args)
  expect(code).toBe(2)
  expect(err).toContain(says)
})

test.each(['--help', 'help'])('%s of a command is its help', async (word) => {
  const args = word === 'help' ? ['help', 'doctor'] : ['doctor', '--help']
  expect(await peerage(args)).toMatchObject({
    code: 0,
    out: expect.stringContaining('Usage: peerage doctor'),
  })
  expect(await peerage([word])).toMatchObject({ code: 0, out: expect.stringContaining('<command> [flags]') })
})

test.each([
  [['serve', '--port', '1', '--port', '2'], '--port is given twice'],
  [['serve', '--port=1', '--host', 'h', '--port', '1'], '--port is given twice'],
  [['check-config', '--config', 'a', '--config', 'b'], '--config is given twice'],
  [['check-config', '--access-key', 'a', '--access-key', 'b'], '--access-key is given twice'],
  [['serve', '--open', '--open'], '--open is given twice'],
  [['serve', '--page', '--no-page'], '--page and --no-page are both given'],
  [['serve', '--no-page', '--page', 'true'], '--no-page and --page are both given'],
  [['stun', '--port', '1', '--port', '2'], '--port is given twice'],
  [['cluster', '--nodes', '1', '--nodes', '2'], '--nodes is given twice'],
  [['print-config', '--docs', '--docs'], '--docs is given twice'],
])('%j is refused', async (args, what) => {
  expect(await peerage(args)).toEqual({ code: 2, out: '', err: `error: ${what}` })
})

test('a public key begins with dashes and is no flag', async () => {
  const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const pem = publicKey.export({ type: 'spki', format: 'pem' }).toString()
  const flags = ['--access-token-algorithms', 'ES256', '--access-token-public-key', pem]
  expect(await peerage(['check-config', ...flags])).toMatchObject({ code: 0, err: '' })
})

test('the flag of a list may be repeated', async () => {
  const lists = ['--origins', 'https://a.example', '--origins', 'https://b.example']
  const { code, out } = await peerage(['print-config', ...lists])
  expect(code).toBe(0)
  expect(out).toMatch(/origins:.*https:\/\/a\.example.*https:\/\/b\.example/s)
})

test('log.format is a setting: a flag and a variable', async () => {
  const wrong = await peerage(['check-config', '--log-format', 'loud'])
  expect(wrong.err).toContain('log.format (--log-format): must be one of auto, pretty, json; it is "loud"')
  const printed = await peerage(['print-config'], { env: { PEERAGE_LOG_FORMAT: 'json' } })
  expect(printed.out).toContain('format: json # PEERAGE_LOG_FORMAT')
})

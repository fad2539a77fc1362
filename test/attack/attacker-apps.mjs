// The attacks on apps, their access rules and the API. `kit` is what attacker.mjs gives: its sockets and counters.
import { createHmac, generateKeyPairSync } from 'node:crypto'
import { request } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'

const encode = (value) =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url')
/** A hello to an app whose access server hangs is answered within this time. */
const ANSWER_MS = 2_500
const soon = () => Math.floor(Date.now() / 1_000) + 600
const hs256 = (text, secret) => createHmac('sha256', secret).update(text).digest('base64url')

/** A token, signed with HS256. */
function signed(claims, { header = { alg: 'HS256' }, secret = 'not the secret of this app' } = {}) {
  const text = `${encode(header)}.${encode(claims)}`
  return `${text}.${hs256(text, secret)}`
}

/** One token for each mistake that a token can have. `publicKey` is the PEM of a key that the app trusts for ES256. */
export function badTokens({ secret, publicKey, app }) {
  const right = { sub: 'mallory', aud: app, exp: soon() }
  const withSecret = (claims, header) => signed(claims, { secret, ...(header && { header }) })
  return {
    'no algorithm': `${encode({ alg: 'none' })}.${encode(right)}.`,
    'HS256 with a public key as the secret': signed(right, { secret: publicKey }),
    'another secret': signed(right),
    expired: withSecret({ ...right, exp: soon() - 1_200 }),
    'not yet valid': withSecret({ ...right, nbf: soon() }),
    'another audience': withSecret({ ...right, aud: 'another-app' }),
    'no audience': withSecret({ sub: 'mallory', exp: soon() }),
    'no end': withSecret({ sub: 'mallory', aud: app }),
    'an end in ten years': withSecret({ ...right, exp: soon() + 315_360_000 }),
    'another name': withSecret({ ...right, sub: 'somebody-else' }),
    'an unknown kid': withSecret(right, { alg: 'HS384', kid: 'unknown' }),
    'a huge kid': withSecret(right, { alg: 'HS384', kid: 'k'.repeat(6_000) }),
    'a kid that is a path': withSecret(right, { alg: 'HS384', kid: '../../../../etc/passwd' }),
    'a key in the header': signed(right, {
      header: { alg: 'ES256', jwk: { kty: 'EC', crv: 'P-256', x: 'x', y: 'y' } },
    }),
    'a claim that grants everything': withSecret({ ...right, peerage: { everything: true } }),
    'no token': 'x'.repeat(8_000),
  }
}

/** An answer of the API, and nothing of its body. */
function ask(url, { method = 'GET', headers = {}, body } = {}) {
  return new Promise((resolve) => {
    const asked = request(url, { method, headers }, (response) => {
      response.resume()
      response.once('close', () => resolve(response.statusCode))
    })
    asked.once('error', (error) => resolve(error.code ?? 'error'))
    asked.setTimeout(15_000, () => asked.destroy(new Error('no answer')))
    asked.end(body)
  })
}

export function attacksOnApps({
  given,
  hello,
  saw,
  countSent,
  opened,
  claimed,
  write,
  atRate,
  isOver,
  begin,
}) {
  const { app } = given

  /** Says hello to an app again and again over `sockets` connections, each time with the next token. */
  async function hellos(sockets, appName, tokenAt) {
    await Promise.all(
      Array.from({ length: sockets }, async (_, i) => {
        for (let n = 0; !isOver();) {
          const ws = await opened(i)
          if (ws === undefined) {
            await delay(10)
            continue
          }
          const ended = new Promise((resolve) => ws.once('close', resolve))
          let answered = () => {}
          ws.on('message', (data) => {
            const frame = Buffer.from(data).toString()
            if (frame.startsWith('44')) {
              saw(`refused ${/"code":"([^"]+)/.exec(frame)?.[1]}`)
              answered()
            } else if (frame.startsWith('42["welcome"')) saw('welcomed')
          })
          for (let again = 0; again < 4 && !isOver(); again++, n++) {
            write(ws, hello('mallory', { app: appName, token: tokenAt(n) }))
            await Promise.race([ended, new Promise((resolve) => (answered = resolve)), delay(ANSWER_MS)])
          }
          ws.terminate()
          await ended
        }
      }),
    )
  }

  return {
    'bad-tokens': async () => {
      const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
      const publicPem = publicKey.export({ type: 'spki', format: 'pem' })
      const tokens = Object.values(badTokens({ secret: app.secret, publicKey: publicPem, app: 'tokens' }))
      await hellos(8, 'tokens', (n) => tokens[n % tokens.length])
    },
    'unknown-kids': () =>
      hellos(8, 'keys', (n) =>
        signed({ sub: 'mallory', aud: 'keys', exp: soon() }, { header: { alg: 'ES256', kid: `k${n}` } }),
      ),
    'hanging-webhook': () => hellos(40, 'hooks', () => 'any token'),
    'app-flood': () =>
      Promise.all(
        Array.from({ length: 20 }, async (_, i) => {
          const ws = await claimed(i, `flood-${i}`, undefined, { app: 'flood' })
          if (ws === undefined) return
          await atRate(400, (n) =>
            write(
              ws,
              `42["send",{"to":"flood-${(i + 1) % 20}","since":1,"stream":"AAAAAAAAAAA","seq":${n + 1},"base":1,"kind":"message","body":"x"}]`,
            ),
          )
          ws.terminate()
        }),
      ),
    'api-junk': async () => {
      const key = { authorization: `Bearer ${app.apiKey}` }
      const json = { ...key, 'content-type': 'application/json' }
      const deep = '['.repeat(20_000) + ']'.repeat(20_000)
      /** @type {[what: string, path: string, options: object][]} */
      const kinds = [
        ['a wrong key', '/v1/peers', { headers: { authorization: 'Bearer wrong-key-of-another-app' } }],
        ['no key', '/v1/peers', {}],
        ['10 MB', '/v1/peers/x/messages', { method: 'POST', headers: json, body: 'x'.repeat(10_000_000) }],
        ['a deep body', '/v1/peers/x/messages', { method: 'POST', headers: json, body: deep }],
        [
          'unknown fields',
          '/v1/peers/x/messages',
          { method: 'POST', headers: json, body: '{"data":1,"as":"bob"}' },
        ],
        ['a wrong type', '/v1/tokens', { method: 'POST', headers: json, body: '{"sub":{},"ttlMs":"1h"}' }],
        ['no JSON', '/v1/messages', { method: 'POST', headers: json, body: '{' }],
        ['a cursor that is noise', '/v1/peers?cursor=%00%ff', { headers: key }],
        ['a path upwards', '/v1/../v1/peers/..%2f..%2fetc', { headers: key }],
        ['a method that it does not have', '/v1/peers', { method: 'TRACE', headers: key }],
      ]
      let n = 0
      begin()
      await Promise.all(
        Array.from({ length: 8 }, async () => {
          while (!isOver()) {
            const [what, path, options] = kinds[n++ % kinds.length]
            countSent()
            saw(`${what}: ${await ask(new URL(path, given.urls[n % 2]), options)}`)
          }
        }),
      )
    },
  }
}

import type { Readiness } from '@peerage/core'
import { mkdtempSync, mkdirSync, writeFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Hono } from 'hono'
import { afterAll, describe, expect, test } from 'vitest'
import { configSchema } from '../config/schema.js'
import { urlWires } from '../config/url-wires.js'
import { loadClient, serveClient } from './client-files.js'
import { createRoutes } from './routes.js'
import { loadPage, PAGE_CSP } from './page.js'

const directory = mkdtempSync(join(tmpdir(), 'peerage-page-'))
mkdirSync(join(directory, 'assets'))
writeFileSync(join(directory, 'index.html'), '<!doctype html>')
writeFileSync(join(directory, 'assets', 'app-abc123.js'), 'export {}')
for (const name of ['assets/app-abc123.css', 'icon.svg', 'app.webmanifest', 'downloads.js'])
  writeFileSync(join(directory, name), name)
writeFileSync(join(directory, 'secret.pem'), 'not for the web')
writeFileSync(join(directory, 'assets', 'app-abc123.js.map'), '{}')
afterAll(() => rm(directory, { recursive: true }))

for (const name of ['peerage.js', 'peerage.global.js']) writeFileSync(join(directory, name), `of ${name}`)
for (const name of ['index.html', 'assets/app-abc123.js', 'peerage.js'])
  for (const ending of ['br', 'gz'])
    writeFileSync(join(directory, `${name}.${ending}`), `${ending} of ${name}`)

const greeting = { name: 'Peerage', description: 'd', website: 'w' }

const faults: unknown[] = []

function routes(readiness: () => Readiness = () => ({ ready: true }), withPage = true, base = '/') {
  const page = withPage ? loadPage(directory) : undefined
  const onError = (error: unknown): void => void faults.push(error)
  return createRoutes({
    base,
    readiness,
    version: { version: '1.2.3', protocol: 1 },
    page,
    client: loadClient('1.2.3', directory),
    greeting,
    wires: urlWires(configSchema.parse({ path: base, yWebrtc: { enabled: true } })),
    onError,
  })
}

describe('[UW1] a path of a wire', () => {
  test.each(['/y-webrtc', '/y-webrtc/chat', '/y-webrtc/chat/minutes'])(
    'that is on says to a GET of %s that it takes WebSockets',
    async (path) => {
      const answer = await routes().request(path)
      expect([answer.status, answer.headers.get('Upgrade')]).toEqual([426, 'websocket'])
      expect(await answer.json()).toEqual({
        error: 'this path takes WebSocket connections only: its URL begins with ws:// or wss://',
      })
    },
  )

  test('that is off says what switches it on', async () => {
    const answer = await routes(undefined, true, '/at/').request('/at/announce?info_hash=x')
    expect([answer.status, await answer.json()]).toEqual([
      404,
      {
        error:
          'this node does not serve WebTorrent: the setting webtorrent.enabled (--webtorrent) switches it on',
      },
    ])
    expect((await routes().request('/announcement')).status).toBe(404)
  })
})

describe('probes', () => {
  test('/healthz does not depend on the store', async () => {
    const app = routes(() => {
      throw new Error('asked')
    })
    const answer = await app.request('/healthz')
    expect(answer.status).toBe(200)
    expect(await answer.json()).toEqual({ status: 'ok' })
  })

  test('/readyz says only the kind of its reason, without details of the store', async () => {
    const ready = await routes().request('/readyz')
    expect([ready.status, await ready.json()]).toEqual([200, { status: 'ready' }])
    const why = 'not connected to Redis: connect ECONNREFUSED 10.1.2.3:6379'
    const not = await routes(() => ({ ready: false, reason: 'store', why })).request('/readyz')
    expect([not.status, await not.json()]).toEqual([503, { status: 'not ready', why: 'store' }])
    expect(not.headers.get('Cache-Control')).toBe('no-store')
  })

  test('an internal error is answered without its message', async () => {
    const broken = routes(() => {
      throw new Error('at /opt/peerage: connect ECONNREFUSED 10.1.2.3:6379')
    })
    const answer = await broken.request('/readyz')
    expect([answer.status, await answer.json()]).toEqual([500, { error: 'internal error' }])
    expect(faults).toHaveLength(1)
  })

  test('/version', async () => {
    expect(await (await routes().request('/version')).json()).toEqual({ version: '1.2.3', protocol: 1 })
  })
})

describe('the root', () => {
  const html = { Accept: 'text/html,application/xhtml+xml,*/*;q=0.8' }

  test('[FT79] is the page for browsers, under exactly this policy, without inline script or foreign sources', async () => {
    const answer = await routes().request('/', { headers: html })
    expect(answer.headers.get('Content-Type')).toBe('text/html; charset=utf-8')
    expect(await answer.text()).toBe('<!doctype html>')
    expect(answer.headers.get('Content-Security-Policy')).toBe(PAGE_CSP)
    expect(PAGE_CSP.split('; ')).toEqual([
      "default-src 'none'",
      "script-src 'self'",
      "style-src 'self'",
      "img-src 'self' data: blob:",
      "media-src 'self' blob:",
      "font-src 'self'",
      "connect-src 'self' ws: wss: blob:",
      "worker-src 'self'",
      "frame-src 'self'",
      "manifest-src 'self'",
      "base-uri 'none'",
      "form-action 'none'",
      "frame-ancestors 'none'",
    ])
    expect(answer.headers.get('X-Content-Type-Options')).toBe('nosniff')
    expect(answer.headers.get('Referrer-Policy')).toBe('no-referrer')
  })

  test.each([{}, { Accept: '*/*' }, { Accept: 'application/json' }])(
    'is the PeerJS greeting for %j',
    async (headers) => {
      const answer = await routes().request('/', { headers })
      expect(answer.headers.get('Content-Type')).toContain('application/json')
      expect(await answer.json()).toEqual(greeting)
      expect(answer.headers.get('Vary')).toBe('Accept')
    },
  )

  test('is the greeting for browsers too if the page is off or not built', async () => {
    expect(loadPage(join(directory, 'nowhere'))).toBeUndefined()
    const answer = await routes(undefined, false).request('/', { headers: html })
    expect(await answer.json()).toEqual(greeting)
  })
})

describe('behind a proxy that keeps its prefix', () => {
  const at = (path: string, headers: Record<string, string> = {}) =>
    routes(undefined, true, '/tier/').request(path, { headers })
  const html = { Accept: 'text/html' }

  test('the page, its files and the greeting are below the path, and nowhere else', async () => {
    expect(await (await at('/tier/', html)).text()).toBe('<!doctype html>')
    expect(await (await at('/tier/')).json()).toEqual(greeting)
    expect((await at('/tier/assets/app-abc123.js')).status).toBe(200)
    for (const path of ['/', '/assets/app-abc123.js', '/tierx/', '/tier/tier/', '/index.html'])
      expect((await at(path, html)).status).toBe(404)
  })

  test('the path without its slash redirects to the page', async () => {
    const answer = await at('/tier?peer_id=a%26b', html)
    expect([answer.status, answer.headers.get('Location')]).toEqual([308, '/tier/?peer_id=a%26b'])
  })

  test('probes answer with and without the prefix', async () => {
    for (const path of ['/healthz', '/readyz', '/version', '/tier/healthz', '/tier/readyz', '/tier/version'])
      expect((await at(path)).status).toBe(200)
  })
})

describe('files of the page', () => {
  test('with a hash in their name are cached for good, and others are revalidated', async () => {
    const script = await routes().request('/assets/app-abc123.js')
    expect(script.headers.get('Content-Type')).toBe('text/javascript; charset=utf-8')
    expect(script.headers.get('Cache-Control')).toContain('immutable')
    const index = await routes().request('/index.html')
    expect(index.headers.get('Cache-Control')).toBe('no-cache')
    const etag = index.headers.get('ETag') ?? ''
    const again = await routes().request('/index.html', { headers: { 'If-None-Match': etag } })
    expect([again.status, await again.text()]).toEqual([304, ''])
  })

  test('[FT79] the service worker is beside the page, and browsers ask for it anew each time', async () => {
    const { status, headers } = await routes().request('/downloads.js')
    expect([status, headers.get('Cache-Control')]).toEqual([200, 'no-cache'])
    expect(headers.get('Content-Type')).toMatch(/^text\/javascript/)
    expect(headers.get('Content-Security-Policy')).toBe(PAGE_CSP)
  })

  test.each([
    ['/assets/app-abc123.css', /^text\/css; charset=utf-8$/],
    ['/icon.svg', /^image\/svg\+xml/],
    ['/app.webmanifest', /^application\/manifest\+json/],
  ])('%s has its content type and the same policy', async (path, type) => {
    const { status, headers } = await routes().request(path)
    expect([status, headers.get('Content-Type')]).toEqual([200, expect.stringMatching(type)])
    expect(headers.get('Content-Security-Policy')).toBe(PAGE_CSP)
    expect(headers.get('X-Content-Type-Options')).toBe('nosniff')
  })

  test('HEAD has the headers of GET, without the file', async () => {
    const headers = { Accept: 'text/html' }
    for (const path of ['/', '/assets/app-abc123.js']) {
      const [got, head] = [
        await routes().request(path, { headers }),
        await routes().request(path, { method: 'HEAD', headers }),
      ]
      expect([head.status, await head.text()]).toEqual([200, ''])
      expect([...head.headers]).toEqual([...got.headers])
      expect(head.headers.get('ETag')).toMatch(/^W\/"[\w-]{22}"$/)
    }
  })

  test('a file that a browser or a proxy has already is not sent again', async () => {
    const asked = (path: string, etag: string): Promise<Response> =>
      Promise.resolve(routes().request(path, { headers: { Accept: 'text/html', 'If-None-Match': etag } }))
    const etag = (await routes().request('/index.html')).headers.get('ETag') ?? ''
    // A proxy may take away that the ETag is weak, and a browser may send several.
    for (const known of [etag, etag.replace('W/', ''), `"other", ${etag}`])
      for (const path of ['/', '/index.html']) {
        const answer = await asked(path, known)
        expect([answer.status, await answer.text()]).toEqual([304, ''])
        expect([answer.headers.get('ETag'), answer.headers.get('Cache-Control')]).toEqual([etag, 'no-cache'])
      }
    expect((await asked('/', '"other"')).status).toBe(200)
    expect((await asked('/assets/app-abc123.js', etag)).status).toBe(200)
  })

  test('other answers have no ETag', async () => {
    for (const path of ['/', '/healthz', '/readyz', '/version', '/nothing'])
      expect((await routes().request(path)).headers.get('ETag')).toBeNull()
  })

  test.each(['/', '/assets/app-abc123.js', '/client/peerage-1.2.3.js'])(
    '%s is sent as the build compressed it, in a form that the browser reads',
    async (path) => {
      const at = async (encoding: string) => {
        const headers = { Accept: 'text/html', 'Accept-Encoding': encoding }
        const answer = await routes().request(path, { headers })
        const text = await answer.text()
        return [answer.headers.get('Content-Encoding'), text.split(' ')[0], answer.headers.get('Vary') ?? '']
      }
      const varies = path === '/' ? 'Accept, Accept-Encoding' : 'Accept-Encoding'
      expect(await at('gzip, deflate, br')).toEqual(['br', 'br', varies])
      expect(await at('gzip')).toEqual(['gzip', 'gz', varies])
      expect(await at('br;q=0, gzip;q=0.5')).toEqual(['gzip', 'gz', varies])
      // A cache must not keep the plain form for everybody.
      for (const none of ['', 'identity', 'zstd'])
        expect(await at(none)).toEqual([null, expect.not.stringMatching(/^(?:br|gz)$/), varies])
      const etags = await Promise.all(
        ['br', 'identity'].map(async (encoding) =>
          (
            await routes().request(path, { headers: { Accept: 'text/html', 'Accept-Encoding': encoding } })
          ).headers.get('ETag'),
        ),
      )
      expect(new Set(etags).size).toBe(1)
      const known = { Accept: 'text/html', 'If-None-Match': etags[0] ?? '' }
      const again = await routes().request(path, { headers: known })
      expect([again.status, again.headers.get('Vary')]).toEqual([304, varies])
      expect(again.headers.get('Content-Length')).toBeNull()
    },
  )

  test('a file without a compressed form has no Vary', async () => {
    expect((await routes().request('/icon.svg')).headers.get('Vary')).toBeNull()
  })

  test.each(['br', 'gzip', 'identity'])('GET and HEAD say how long a file is (%s)', async (encoding) => {
    for (const path of ['/index.html', '/icon.svg', '/client/peerage-1.2.3.js']) {
      const headers = { 'Accept-Encoding': encoding }
      const length = String((await (await routes().request(path, { headers })).text()).length)
      for (const method of ['GET', 'HEAD'])
        expect((await routes().request(path, { method, headers })).headers.get('Content-Length')).toBe(length)
    }
  })

  test.each([
    '/secret.pem',
    '/index.html.br',
    '/assets/app-abc123.js.gz',
    '/assets/app-abc123.js.map',
    '/assets/',
    '//index.html',
    '/../secret.pem',
    '/assets/../secret.pem',
    '/assets/..%2fsecret.pem',
    '/assets/%2e%2e/%2e%2e/etc/passwd',
    '/assets',
    '/nothing',
  ])('%s is not found', async (path) => {
    const answer = await routes().request(path)
    expect([answer.status, await answer.json()]).toEqual([404, { error: 'not found' }])
  })

  test('nothing can be written', async () => {
    for (const method of ['POST', 'PUT', 'DELETE'])
      expect((await routes().request('/', { method })).status).toBe(404)
  })
})

describe('the SDK as one file', () => {
  const MODULE = '/client/peerage-1.2.3.js'
  const get = (path: string, headers: Record<string, string> = {}) => routes().request(path, { headers })

  test.each([
    [MODULE, 'of peerage.js'],
    ['/client/peerage-1.2.3.global.js', 'of peerage.global.js'],
  ])('%s is a script for pages of any origin, and never changes', async (path, text) => {
    const answer = await get(path)
    expect([answer.status, await answer.text()]).toEqual([200, text])
    expect(Object.fromEntries(answer.headers)).toMatchObject({
      'content-type': 'text/javascript; charset=utf-8',
      'cache-control': 'public, max-age=31536000, immutable',
      'access-control-allow-origin': '*',
      'cross-origin-resource-policy': 'cross-origin',
      'x-content-type-options': 'nosniff',
    })
  })

  test('HEAD says what GET would; a browser that has the file is not sent it again, and may still use it', async () => {
    const [got, head] = [await get(MODULE), await routes().request(MODULE, { method: 'HEAD' })]
    expect([head.status, await head.text()]).toEqual([200, ''])
    expect([...head.headers]).toEqual([...got.headers])
    const again = await get(MODULE, { 'If-None-Match': got.headers.get('ETag') ?? '' })
    expect([again.status, await again.text()]).toEqual([304, ''])
    expect(again.headers.get('Access-Control-Allow-Origin')).toBe('*')
  })

  test('without a version it leads to the file of this node, beside it whatever a proxy takes away', async () => {
    for (const [path, to] of [
      ['peerage.js', 'peerage-1.2.3.js'],
      ['peerage.global.js', 'peerage-1.2.3.global.js'],
    ] as const) {
      const { status, headers } = await get(`/client/${path}`)
      expect([status, headers.get('Location'), headers.get('Cache-Control')]).toEqual([302, to, 'no-cache'])
      expect(headers.get('Access-Control-Allow-Origin')).toBe('*')
    }
  })

  test('of another version there is none, and the answer says which there is and why', async () => {
    const answer = await get('/client/peerage-1.2.2.js')
    expect(answer.status).toBe(404)
    expect(answer.headers.get('Access-Control-Allow-Origin')).toBe('*')
    expect(answer.headers.get('Cache-Control')).toBe('no-store')
    expect(await answer.text()).toBe(
      'This node has no peerage-1.2.2.js: it has peerage-1.2.3.global.js and peerage-1.2.3.js; nodes of two versions answer while a cluster is updated, so load peerage.js, or a copy of your own.\n',
    )
  })

  test('it can only be read', async () => {
    for (const method of ['POST', 'PUT', 'DELETE']) {
      const answer = await routes().request(MODULE, { method })
      expect([answer.status, answer.headers.get('Allow')]).toEqual([405, 'GET, HEAD'])
    }
  })

  test('it is below the path, and is there without the page', async () => {
    const below = routes(undefined, false, '/tier/')
    expect((await below.request(`/tier${MODULE}`)).status).toBe(200)
    expect((await below.request(MODULE)).status).toBe(404)
    for (const path of [
      '/client/',
      '/client',
      '/client/secret.pem',
      '/client/../secret.pem',
      '/client/peerage',
    ])
      expect(await (await get(path)).json()).toEqual({ error: 'not found' })
  })

  test('where it has not been built, the answer says so', async () => {
    expect(loadClient('1.2.3', join(directory, 'nowhere')).files.size).toBe(0)
    const app = new Hono()
    serveClient(app, '/', loadClient('1.2.3', join(directory, 'nowhere')))
    const answer = await app.request('/client/peerage.js')
    expect([answer.status, await answer.text()]).toEqual([404, expect.stringContaining('npm run build')])
  })
})

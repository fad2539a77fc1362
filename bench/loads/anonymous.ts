/** A load process of peers without names, on the wires of y-webrtc and of WebTorrent's tracker. */
import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { answerCommands, type Numbers } from '../lib/channel.js'
import {
  clearData,
  encryptedData,
  OFFERS_PER_ANNOUNCE,
  offerLists,
  twentyBytes,
  type DataOf,
} from './anonymous-frames.js'
import { enter, type AnonymousPeer, type Entrance } from './anonymous-peer.js'
import { paced } from './pace.js'
import { asList, asNumber, asText } from './wire.js'

type Options = Readonly<Record<string, unknown>>

const CONCURRENCY = 20
/** How long after the last send the run waits for frames. */
const DRAIN_MS = 3000
const POLL_MS = 5

/** What came since the run began. */
const counted = { frames: 0, addressed: 0, answers: 0 }
let losses: string[] = []
let peers: AnonymousPeer[] = []
let hashes: string[] = []
let isClosing = false
/** In a closed loop: sends what may be sent, now that a frame has come. */
let goOn: (() => void) | undefined
const topicOf = (group: number): string => `document-${group}`
const announcement = (group: number, id: string, rest: string): string =>
  `{"numwant":${OFFERS_PER_ANNOUNCE},"uploaded":0,"downloaded":0,${rest},"action":"announce",` +
  `"info_hash":${JSON.stringify(hashes[group])},"peer_id":${JSON.stringify(id)}}`

function yWebrtcEntrance(group: number, id: string): Entrance {
  const topic = JSON.stringify(topicOf(group))
  const publication = (data: string): string => `{"type":"publish","topic":${topic},"data":${data}}`
  const addressee = `"to":"${id}"`
  return {
    // A publication comes back to its sender, so its own announcement shows that the subscription holds.
    first: [`{"type":"subscribe","topics":[${topic}]}`, publication(`{"type":"announce","from":"${id}"}`)],
    isIn: (text) => text.includes(`"from":"${id}"`),
    frame: (text) => {
      if (!text.includes('"publish"')) return
      counted.frames++
      if (text.includes(addressee)) counted.addressed++
      goOn?.()
    },
  }
}

function webtorrentEntrance(group: number, id: string): Entrance {
  const isAnswer = (text: string): boolean => text.includes('"interval"')
  return {
    first: [announcement(group, id, '"left":1,"event":"started","offers":[]')],
    isIn: isAnswer,
    frame: (text) => {
      if (isAnswer(text)) counted.answers++
      else if (text.includes('"offer"')) counted.frames++
      goOn?.()
    },
  }
}

/** Opens `count` peers, `perGroup` in each topic or swarm, on the ports in turns. */
async function open(options: Options): Promise<Numbers> {
  const { wire, count, perGroup } = {
    wire: asText(options['wire']),
    count: asNumber(options['count']),
    perGroup: asNumber(options['perGroup']),
  }
  const ports = asList(options['ports']).map(asNumber)
  const path = asText(options['path'])
  isClosing = false
  hashes = Array.from({ length: Math.ceil(count / perGroup) }, twentyBytes)
  const opened: AnonymousPeer[] = []
  let next = 0
  const openSome = async (): Promise<void> => {
    while (next < count) {
      const index = next++
      const group = Math.floor(index / perGroup)
      const id = wire === 'y-webrtc' ? randomUUID() : twentyBytes()
      const entrance = wire === 'y-webrtc' ? yWebrtcEntrance(group, id) : webtorrentEntrance(group, id)
      const port = ports[index % ports.length] ?? 0
      const socket = await enter({ port, path }, entrance, (reason) => {
        if (!isClosing) losses.push(reason)
      })
      opened[index] = { group, id, socket }
    }
  }
  await Promise.all(Array.from({ length: CONCURRENCY }, openSome))
  peers = opened
  return { opened: peers.length }
}

/** Sends one frame after the other, each from another peer, and waits for all of them. `done`: how many have arrived. */
async function run(
  options: Options,
  frameOf: (peer: AnonymousPeer, index: number) => string,
  done: () => number,
): Promise<Numbers> {
  Object.assign(counted, { frames: 0, addressed: 0, answers: 0 })
  losses = []
  const cpuBefore = process.cpuUsage()
  const start = performance.now()
  const { rate, window, ms } = {
    rate: asNumber(options['rate']),
    window: asNumber(options['window']),
    ms: asNumber(options['ms']),
  }
  const send = (index: number): void => {
    const peer = peerAt(index)
    peer.socket.send(frameOf(peer, index))
  }
  const sent =
    window === 0
      ? await paced({ rate, ms, precise: false }, (_, index) => send(index))
      : await closedLoop(window, ms, send, done)
  const end = performance.now() + DRAIN_MS
  while (done() < sent && performance.now() < end) await delay(POLL_MS)
  const took = performance.now() - start
  const { user, system } = process.cpuUsage(cpuBefore)
  if (losses.length > 0) throw new Error(`${losses.length} peers were closed: ${losses[0]}`)
  if (done() < sent) throw new Error(`frames are missing: ${JSON.stringify({ sent, ...counted })}`)
  return { sent, ms: took, ...counted, loadShare: (user + system) / (took * 1000) }
}

/** Keeps `window` frames in flight for `ms`. */
async function closedLoop(
  window: number,
  ms: number,
  send: (index: number) => void,
  done: () => number,
): Promise<number> {
  const end = performance.now() + ms
  let sent = 0
  goOn = () => {
    while (sent - done() < window && performance.now() < end) send(sent++)
  }
  goOn()
  await delay(ms)
  goOn = undefined
  return sent
}

/** A peer of each topic or swarm in turn, so that no two frames in a row are of the same. `next`: the peers after it. */
function peerAt(index: number, next = 0): AnonymousPeer {
  const groups = hashes.length
  const perGroup = peers.length / groups
  const turn = Math.floor(index / groups)
  const peer = peers[(index % groups) * perGroup + ((turn + next) % perGroup)]
  if (peer === undefined) throw new Error('there are no peers')
  return peer
}

/** Publications of y-webrtc: `clear` ones name the peer that they are for. */
function publish(options: Options): Promise<Numbers> {
  const perGroup = peers.length / hashes.length
  const isClear = options['clear'] === true
  const dataOf: DataOf = isClear ? clearData() : encryptedData()
  const addressee = (index: number): AnonymousPeer => peerAt(index, 1 + (index % (perGroup - 1)))
  return run(
    options,
    (peer, index) =>
      `{"type":"publish","topic":"${topicOf(peer.group)}","data":${dataOf(index, peer.id, addressee(index).id)}}`,
    () => (isClear ? counted.addressed : Math.floor(counted.frames / perGroup)),
  )
}

/** Announcements with five offers each. */
function announce(options: Options): Promise<Numbers> {
  const lists = offerLists()
  return run(
    options,
    ({ group, id }, index) => announcement(group, id, `"left":1,"offers":${lists[index % lists.length]}`),
    () => Math.min(counted.answers, Math.floor(counted.frames / OFFERS_PER_ANNOUNCE)),
  )
}

function close(): Numbers {
  isClosing = true
  for (const { socket } of peers) socket.close()
  peers = []
  return {}
}

answerCommands('load', { open, publish, announce, close })
// answerCommands unrefs the IPC channel, but this process must stay and wait for commands.
process.channel?.ref()
console.log(JSON.stringify({ msg: 'ready' }))

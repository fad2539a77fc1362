/** A load generator process: on the runner's commands it holds groups of peers and makes traffic between two groups. */
import { answerCommands, type Numbers } from '../lib/channel.js'
import { Group, type OpenOptions } from './group.js'
import { Traffic } from './traffic.js'
import { asList, asNumber, asText, type WireName } from './wire.js'

type Options = Readonly<Record<string, unknown>>

const WIRES: readonly WireName[] = ['socketio', 'socketio-ack', 'peerage', 'peerjs', 'publish']

const JOINS_AT_ONCE = 50

const groups = new Map<string, Group>()
const traffic = new Traffic()

async function open(options: Options): Promise<Numbers> {
  const wire = WIRES.find((candidate) => candidate === options['wire'])
  if (wire === undefined) throw new Error(`no wire ${asText(options['wire'])}`)
  const openOptions: OpenOptions = {
    wire,
    prefix: asText(options['prefix']),
    first: asNumber(options['first']),
    count: asNumber(options['count']),
    ports: asList(options['ports']).map(asNumber),
    concurrency: asNumber(options['concurrency']),
    ...(options['perSecond'] === undefined ? {} : { perSecond: asNumber(options['perSecond']) }),
    ...(options['token'] === undefined ? {} : { token: asText(options['token']) }),
  }
  const group = new Group(openOptions, traffic)
  groups.set(asText(options['group']), group)
  return group.open(openOptions)
}

/** Each peer of `from` looks up its counterpart in `to`; with `echo`, each peer of `to` also looks up its own. */
async function prepare(options: Options): Promise<Numbers> {
  const [from, to] = [find(options['from']), find(options['to'])]
  const pairs = Math.min(from.peers.length, to.peers.length)
  for (let index = 0; index < pairs; index++) {
    const [sender, recipient] = [from.peers[index], to.peers[index]]
    if (sender === undefined || recipient === undefined) continue
    await sender.prepare([recipient.name])
    if (options['echo'] === true) await recipient.prepare([sender.name])
  }
  return { pairs }
}

function run(options: Options): Promise<Numbers> {
  return traffic.run(find(options['from']), find(options['to']), {
    rate: asNumber(options['rate']),
    ms: asNumber(options['ms']),
    bodyBytes: asNumber(options['bodyBytes']),
    precise: options['precise'] === true,
    echo: options['echo'] === true,
    acknowledged: options['acknowledged'] === true,
    pairs: typeof options['pairs'] === 'number' ? options['pairs'] : undefined,
    window: typeof options['window'] === 'number' ? options['window'] : 0,
  })
}

/** All peers of a group join a room, some at a time. */
async function join(options: Options): Promise<Numbers> {
  const { peers } = find(options['group'])
  const room = asText(options['room'])
  const start = performance.now()
  for (let from = 0; from < peers.length; from += JOINS_AT_ONCE)
    await Promise.all(peers.slice(from, from + JOINS_AT_ONCE).map((peer) => peer.join(room)))
  return { ms: performance.now() - start }
}

function broadcast(options: Options): Promise<Numbers> {
  return traffic.broadcast(find(options['group']), {
    room: asText(options['room']),
    times: asNumber(options['times']),
    bodyBytes: asNumber(options['bodyBytes']),
  })
}

function close(options: Options): Numbers {
  const name = asText(options['group'])
  find(name).close()
  groups.delete(name)
  return {}
}

function find(name: unknown): Group {
  const group = groups.get(asText(name))
  if (group === undefined) throw new Error(`no group ${asText(name)}`)
  return group
}

answerCommands('load', {
  open,
  prepare,
  run,
  join,
  broadcast,
  close,
  arm: (options) =>
    find(options['group']).arm({
      ports: asList(options['ports']).map(asNumber),
      firstMs: asNumber(options['firstMs']),
      capMs: asNumber(options['capMs']),
      deadlineMs: asNumber(options['deadlineMs']),
    }),
  back: (options) => find(options['group']).back(),
})
// answerCommands unrefs the IPC channel, but this process must stay and wait for commands.
process.channel?.ref()
console.log(JSON.stringify({ msg: 'ready' }))

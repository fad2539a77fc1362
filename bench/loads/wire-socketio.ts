import { asList, asText, type Wire, type WireContext } from './wire.js'

const CONNECTED = '40'
const EVENT = '42'
const ACK = '43'
const PING = '2'
const PONG = '3'
const OPEN = '0'

/** socket.io's own wire (engine.io 4, socket.io 5): `40` connects, `42[…]` is an event, `43[…]` answers an event. */
export function socketioWire(context: WireContext, acknowledged: boolean): Wire {
  const { events } = context
  let lastId = 0
  const joins = new Map<string, () => void>()

  const event = (text: string): void => {
    const start = text.indexOf('[')
    const [name, from, body] = asList(JSON.parse(text.slice(start)))
    if (name !== 'message') return
    const id = text.slice(EVENT.length, start)
    if (id !== '') context.send(`${ACK}${id}["ok"]`)
    events.body(asText(from), asText(body))
  }
  const answered = (text: string): void => {
    const id = text.slice(ACK.length, text.indexOf('['))
    const joined = joins.get(id)
    if (joined !== undefined) {
      joins.delete(id)
      joined()
    } else if (text.endsWith('[true]')) events.acknowledged(1)
    else events.problem(`not delivered: ${text}`)
  }

  return {
    path: '/socket.io/?EIO=4&transport=websocket',
    opened: () => {},
    frame: (text) => {
      if (text.startsWith(EVENT)) event(text)
      else if (text.startsWith(ACK)) answered(text)
      else if (text === PING) context.send(PONG)
      else if (text.startsWith(OPEN)) context.send(`${CONNECTED}${JSON.stringify({ name: context.name })}`)
      else if (text.startsWith(CONNECTED)) events.ready()
      else events.problem(text)
    },
    prepare: () => Promise.resolve(),
    message: (to, body) => {
      const id = acknowledged ? String(lastId++) : ''
      context.send(`${EVENT}${id}["message",${JSON.stringify(to)},${JSON.stringify(body)}]`)
    },
    join: (room) =>
      new Promise((resolve) => {
        const id = String(lastId++)
        joins.set(id, resolve)
        context.send(`${EVENT}${id}["join",${JSON.stringify(room)}]`)
      }),
    say: (room, body) => context.send(`${EVENT}["message",${JSON.stringify(room)},${JSON.stringify(body)}]`),
    stop: () => {},
  }
}

import type { Wire, WireContext } from './wire.js'

/** The wire of peers/ws-publish.ts. The body names its sender, because that server does not. */
export function publishWire(context: WireContext): Wire {
  const { events, name } = context
  return {
    path: `/?name=${name}`,
    opened: () => {},
    frame: (text) => {
      if (text === 'ready') {
        events.ready()
        return
      }
      const cut = text.indexOf('\n')
      events.body(text.slice(0, cut), text.slice(cut + 1))
    },
    prepare: () => Promise.resolve(),
    message: (to, body) => context.send(`${to}\n${name}\n${body}`),
    stop: () => {},
  }
}

import { expect, test } from 'vitest'
import { watchStreams } from './streams.js'

/** Says at most ten things: what is said for ever is a failure, not the end of the process. */
class FakeStream extends EventTarget {
  readyState = 'connecting'
  binaryType = ''
  said: string[] = []

  // Of two listeners on one target, Node 20 removes the first one by its signal only where no garbage was collected.
  override addEventListener(type: string, listener: EventListener): void {
    super.addEventListener(type, listener)
  }

  override dispatchEvent(event: Event): boolean {
    if (event instanceof MessageEvent && this.said.push(String(event.data)) > 10) throw new Error('for ever')
    return super.dispatchEvent(event)
  }
}

test('[P20] what came early is heard once more after both are open, and nothing later is', () => {
  const [data, frames] = [new FakeStream(), new FakeStream()]
  let opened = 0
  watchStreams({ data, frames } as unknown as Parameters<typeof watchStreams>[0], {
    onOpen: () => opened++,
    onClose: () => expect.unreachable(),
  })
  data.dispatchEvent(new MessageEvent('message', { data: 'early' }))
  for (const stream of [data, frames]) {
    stream.readyState = 'open'
    stream.dispatchEvent(new Event('open'))
  }
  data.dispatchEvent(new MessageEvent('message', { data: 'later' }))
  frames.dispatchEvent(new Event('open'))
  expect(opened).toBe(1)
  expect(data.said).toEqual(['early', 'early', 'later'])
})

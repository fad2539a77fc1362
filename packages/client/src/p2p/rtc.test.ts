import { expect, test } from 'vitest'
import wrtc from '@roamhq/wrtc'
import { RTCPeerConnection as Werift } from 'werift'
import type { P2POptions } from './options.js'
import { givenClass } from './connections.js'

// Types alone: werift's class is no RTCPeerConnection to TypeScript, and is taken all the same.
test('the classes of werift and @roamhq/wrtc are options as they are', () => {
  const options: P2POptions[] = [{ RTCPeerConnection: Werift }, { RTCPeerConnection: wrtc.RTCPeerConnection }]
  for (const { RTCPeerConnection } of options) expect(givenClass(RTCPeerConnection)).toBe(RTCPeerConnection)
  // @ts-expect-error what makes no channels is no such class
  const wrong: P2POptions = { RTCPeerConnection: Date }
  expect(wrong).toBeDefined()
})

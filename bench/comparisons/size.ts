import { bundle, gzipBytes, type BundleOptions } from '../lib/bundle.js'
import type { Comparison, Contender } from '../lib/comparison.js'

const contender = (name: string, options: BundleOptions): Contender => ({
  name,
  start: () =>
    Promise.resolve({
      measure: async () => {
        const code = await bundle(options)
        return { gzip: gzipBytes(code), minified: Buffer.byteLength(code) }
      },
      stop: () => Promise.resolve(),
    }),
})

const SDK = `import * as sdk from '@peerage/client'; globalThis.sdk = sdk`

const FIRST = 'SDK, loaded at first: names, messages, transport'
const WHOLE = 'SDK, all of it: with P2P, rooms, diagnosis'
const PEERJS = 'peerjs'
const SOCKETIO = 'socket.io-client'

export const size: readonly Comparison[] = [
  {
    id: 'sdk-size',
    title: "The SDK's size",
    load:
      'everything that the package exports, bundled for browsers and minified by rolldown, gzip -9; the transport is a ' +
      'bare WebSocket and part of the SDK',
    processes: 'kept',
    rounds: 1,
    contenders: [
      contender(FIRST, { entry: SDK, first: true }),
      contender(WHOLE, { entry: SDK }),
      contender(PEERJS, { entry: `import Peer from 'peerjs'; globalThis.sdk = Peer` }),
      contender(SOCKETIO, { entry: `import { io } from 'socket.io-client'; globalThis.sdk = io` }),
    ],
    rows: [
      {
        measure: 'size, gzip',
        metric: 'gzip',
        unit: 'B',
        subject: FIRST,
        against: PEERJS,
      },
      {
        measure: 'size, gzip',
        metric: 'gzip',
        unit: 'B',
        subject: FIRST,
        aim: { of: 'value', most: 6144 },
      },
      {
        measure: 'size, gzip',
        metric: 'gzip',
        unit: 'B',
        subject: WHOLE,
        against: PEERJS,
      },
      {
        measure: 'size, gzip',
        metric: 'gzip',
        unit: 'B',
        subject: WHOLE,
        aim: { of: 'value', most: 19_456 },
      },
      { measure: 'size, gzip', metric: 'gzip', unit: 'B', subject: SOCKETIO },
    ],
  },
]

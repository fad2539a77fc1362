import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { rolldown } from 'rolldown'
import { ensureBuilt, REPOSITORY } from '@peerage/test-support/node.js'

export interface PeerPage {
  /** `http://127.0.0.1:PORT/`: a page whose `peer` is an SdkPeer on the browser's own stack. */
  readonly url: string
  stop(): Promise<void>
}

const ENTRY = `${REPOSITORY}test/stacks/page-entry.js`
const SOURCE = `
import { connect } from '@peerage/client'
import { SdkPeer } from './sdk-peer.mjs'
globalThis.peer = new SdkPeer(connect, RTCPeerConnection)
`

/** Bundles the built SDK and serves it from loopback. */
export async function servePeerPage(): Promise<PeerPage> {
  await ensureBuilt()
  const script = await bundle()
  const server = createServer((request, response) => {
    const isScript = request.url === '/entry.js'
    response.setHeader('content-type', isScript ? 'text/javascript' : 'text/html')
    response.end(isScript ? script : '<!doctype html><script type="module" src="/entry.js"></script>')
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    stop: async () => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

async function bundle(): Promise<string> {
  const build = await rolldown({
    input: ENTRY,
    platform: 'browser',
    external: [/^node:/, /^node-datachannel/],
    logLevel: 'silent',
    plugins: [
      {
        name: 'entry',
        resolveId: (id) => (id === ENTRY ? id : undefined),
        load: (id) => (id === ENTRY ? SOURCE : undefined),
      },
    ],
  })
  const { output } = await build.generate({ format: 'es', codeSplitting: false })
  await build.close()
  return output[0].code
}

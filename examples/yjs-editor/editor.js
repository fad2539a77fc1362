import { WebrtcProvider } from 'y-webrtc'
import * as Y from 'yjs'

const { searchParams, hash } = new URL(location.href)
const server = new URL(searchParams.get('server') ?? 'ws://127.0.0.1:9000')
// A node of Peerage also answers STUN, at the port after its own.
const port = Number(server.port) || (server.protocol === 'wss:' ? 443 : 80)
const stun = searchParams.get('stun') ?? `${server.hostname}:${port + 1}`

const text = new Y.Doc().getText('text')
const provider = new WebrtcProvider(hash.slice(1) || 'example', text.doc, {
  signaling: [`${server.origin}/y-webrtc/default`],
  // Only who knows it can read what the server passes on.
  password: searchParams.get('password') ?? undefined,
  peerOpts: { config: { iceServers: [{ urls: `stun:${stun}` }] } },
})

const area = document.querySelector('#text')
area.addEventListener('input', () => {
  const [before, after] = [text.toJSON(), area.value]
  let start = 0
  while (start < before.length && before[start] === after[start]) start++
  let same = 0
  while (same < Math.min(before.length, after.length) - start && before.at(-1 - same) === after.at(-1 - same))
    same++
  text.doc.transact(() => {
    text.delete(start, before.length - start - same)
    text.insert(start, after.slice(start, after.length - same))
  })
})
text.observe((_event, { local }) => {
  if (!local) area.value = text.toJSON()
})
provider.on('peers', ({ webrtcPeers }) => {
  document.querySelector('#others').value = webrtcPeers.length
})

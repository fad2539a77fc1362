import { joinRoom } from '@trystero-p2p/torrent'

const { searchParams, hash } = new URL(location.href)
const server = new URL(searchParams.get('server') ?? 'ws://127.0.0.1:9000')
// A node of Peerage also answers STUN, at the port after its own.
const port = Number(server.port) || (server.protocol === 'wss:' ? 443 : 80)
const stun = searchParams.get('stun') ?? `${server.hostname}:${port + 1}`

const room = joinRoom(
  {
    appId: 'peerage-example',
    relayConfig: { urls: [`${server.origin}/announce/default`] },
    rtcConfig: { iceServers: [{ urls: `stun:${stun}` }] },
    password: searchParams.get('password') ?? undefined,
  },
  hash.slice(1) || 'example',
)
const said = room.makeAction('said')

const count = () => {
  document.querySelector('#others').value = Object.keys(room.getPeers()).length
}
room.onPeerJoin = count
room.onPeerLeave = count

const show = (who, text) => {
  const item = document.createElement('li')
  item.textContent = `${who}: ${text}`
  document.querySelector('#heard').append(item)
}
said.onMessage = (text, { peerId }) => show(peerId.slice(0, 4), text)
document.querySelector('#say').addEventListener('submit', (event) => {
  event.preventDefault()
  const input = document.querySelector('#text')
  show('me', input.value)
  void said.send(input.value)
  input.value = ''
})

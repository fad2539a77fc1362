import WebTorrent from 'webtorrent/dist/webtorrent.min.js'

const { searchParams, hash } = new URL(location.href)
const server = new URL(searchParams.get('server') ?? 'ws://127.0.0.1:9000')
// A node of Peerage also answers STUN, at the port after its own.
const port = Number(server.port) || (server.protocol === 'wss:' ? 443 : 80)
const stun = searchParams.get('stun') ?? `${server.hostname}:${port + 1}`
const tracker = `${server.origin}/announce/default`

const [link, progress, save] = ['#link', '#progress', '#save'].map((id) => document.querySelector(id))
const client = new WebTorrent({
  tracker: { rtcConfig: { iceServers: [{ urls: `stun:${stun}` }] } },
})

// The link ends with the hash of the file's torrent: whoever has the link fetches the file, and shares it too.
if (hash !== '') {
  document.querySelector('#give').hidden = true
  document.querySelector('#get').hidden = false
  const torrent = client.add(hash.slice(1), { announce: [tracker] })
  torrent.on('download', () => {
    progress.value = Math.floor(torrent.progress * 100)
  })
  torrent.on('done', async () => {
    const [file] = torrent.files
    save.href = URL.createObjectURL(await file.blob())
    save.download = file.name
    save.textContent = `save ${file.name}`
  })
}
document.querySelector('#file').addEventListener('change', ({ target }) => {
  const torrent = client.seed(target.files, { announce: [tracker] })
  // From the tracker's answer on, others find the file.
  torrent.once('trackerAnnounce', () => {
    link.href = `#${torrent.infoHash}`
    link.textContent = link.href
    document.querySelector('#given').hidden = false
  })
})

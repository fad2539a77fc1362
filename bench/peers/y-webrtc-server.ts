/** The server of y-webrtc@10.3.0, unchanged. It listens as soon as it is imported, and does not tell on which port. */
import { once } from 'node:events'
import { connect } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import { freePort } from '@peerage/test-support/ports.js'
import { REPOSITORY } from '../lib/processes.js'

const POLL_MS = 10

const port = await freePort()
process.env['PORT'] = String(port)
// The package exports only its client, so its server has no name to import.
await import(pathToFileURL(`${REPOSITORY}node_modules/y-webrtc/bin/server.js`).href)
while (!(await listens())) await delay(POLL_MS)
console.log(JSON.stringify({ msg: 'ready', url: `http://127.0.0.1:${port}`, port }))

async function listens(): Promise<boolean> {
  const socket = connect(port, '127.0.0.1')
  try {
    await once(socket, 'connect')
    return true
  } catch {
    return false
  } finally {
    socket.destroy()
  }
}

import { releaseBytes } from '@peerage/client/transfer'
import { isSyncFile } from './browser-files.js'
import { createDesk } from './desk.js'
import { OwnFiles } from './own-files.js'
import { transferable, type Desk, type Order, type Outcome, type Report, type TaskName } from './protocol.js'

// The storage worker: hashes, reads files that are sent, and writes received ones to the browser's own storage.

const report = (message: Report, buffers: ArrayBuffer[] = []): void =>
  globalThis.postMessage(message, { transfer: buffers })

void start()

async function start(): Promise<void> {
  const hasFiles = await canKeepFiles()
  const files = new OwnFiles({
    getDirectory: () => navigator.storage.getDirectory(),
    wait: (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds)),
  })
  const desk = createDesk(hasFiles ? files : undefined)
  globalThis.addEventListener('message', ({ data }: MessageEvent<Order>) => void work(desk, data))
  report({ type: 'ready', hasFiles })
}

async function work(desk: Desk, order: Order): Promise<void> {
  const outcome = await run(desk, order)
  if (order.task === 'put') releaseBytes(order.request.bytes)
  report({ type: 'done', id: order.id, outcome }, outcome.ok ? transferable(outcome.answer) : [])
}

function run(desk: Desk, order: Order): Promise<Outcome<TaskName>> {
  switch (order.task) {
    case 'check':
      return desk.check(order.request)
    case 'read':
      return desk.read(order.request)
    case 'open':
      return desk.open(order.request)
    case 'reserve':
      return desk.reserve(order.request)
    case 'put':
      return desk.put(order.request)
    case 'close':
      return desk.close(order.request)
    case 'list':
      return desk.list(order.request)
    case 'remove':
      return desk.remove(order.request)
    case 'sweep':
      return desk.sweep(order.request)
  }
}

/** Asks by trying: private windows have the functions, and some of them refuse to work. */
async function canKeepFiles(): Promise<boolean> {
  const storage: StorageManager | undefined = navigator.storage
  if (storage === undefined || !('getDirectory' in storage)) return false
  const name = `peerage-trial-${crypto.getRandomValues(new Uint32Array(2)).join('-')}`
  try {
    const root = await storage.getDirectory()
    const file = await root.getFileHandle(name, { create: true })
    try {
      if (!isSyncFile(file)) return false
      const handle = await file.createSyncAccessHandle()
      handle.close()
      return true
    } finally {
      await root.removeEntry(name)
    }
  } catch {
    return false // refused, as by a private window or by the person's settings
  }
}

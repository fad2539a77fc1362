import { serveDownloads } from '../download-desk.js'
import type { DownloadOrder } from '../download-protocol.js'
import type { DownloadHost } from '../downloads-line.js'

/** A page, its service worker and a browser that downloads, without a browser. */
export interface DownloadWorld {
  host: DownloadHost
  /** What the browser was answered, for each download that it asked for. */
  answers: Response[]
  /** The page is left. */
  leave(): void
  /** The browser ends the service worker, and starts it again when it is needed. */
  restart(): void
  /** How many requests the page has made, and how many it has taken away again. */
  readonly requested: number
  readonly removed: number
}

const SCOPE = 'https://peers.test/downloads/'

export function downloadWorld({ isBlocked = false } = {}): DownloadWorld {
  const answers: Response[] = []
  let requested = 0
  let removed = 0
  let onLeave = (): void => {}
  let worker = startWorker()
  return {
    answers,
    get requested() {
      return requested
    },
    get removed() {
      return removed
    },
    host: {
      connect: () => (order, port) => worker.message(order, port),
      request: (address) => {
        requested++
        if (!isBlocked) {
          const answer = worker.fetch(SCOPE + address)
          if (answer !== undefined) answers.push(answer)
        }
        return () => void removed++
      },
      onLeave: (listener) => {
        onLeave = listener
        return () => {
          onLeave = () => {}
        }
      },
    },
    leave: () => onLeave(),
    restart: () => {
      worker = startWorker()
    },
  }
}

interface FakeServiceWorker {
  message(order: DownloadOrder, port: MessagePort): void
  fetch(url: string): Response | undefined
}

function startWorker(): FakeServiceWorker {
  let onMessage: (event: { data: DownloadOrder; ports: MessagePort[]; source: null }) => void = () => {}
  let onFetch: (event: { request: { url: string }; respondWith(response: Response): void }) => void = () => {}
  serveDownloads({
    registration: { scope: SCOPE },
    clients: { get: () => Promise.resolve({}) },
    addEventListener: (type: string, listener: (event: never) => void) => {
      if (type === 'message') onMessage = listener as typeof onMessage
      if (type === 'fetch') onFetch = listener as typeof onFetch
    },
  })
  return {
    message: (data, port) => onMessage({ data, ports: [port], source: null }),
    fetch: (url) => {
      let answer: Response | undefined
      onFetch({ request: { url }, respondWith: (response) => (answer = response) })
      return answer
    },
  }
}

import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import type { BrowserContext } from 'playwright-core'

/**
 * A UDP relay that delays each datagram. Kernels without netem cannot delay the loopback interface, so the two ends of a
 * WebRTC connection send to this relay instead: each port of an end has a port of the relay.
 */
export interface DelayingRelay {
  /** The relay's port for this address of an end. Datagrams to that port go on to the address, after the delay. */
  portFor(address: string, port: number): Promise<number>
  stop(): void
}

interface Held {
  at: number
  send: () => void
}

/** Bursts of a fast sender must fit. The kernel's own bound applies, too. */
const SOCKET_BUFFER_BYTES = 4 * 1024 * 1024

export function startDelayingRelay(delayMs: number): DelayingRelay {
  const ends = new Map<number, Promise<Socket>>()
  const open = new Map<number, Socket>()
  const held: Held[] = []
  let timer: ReturnType<typeof setTimeout> | undefined
  let isStopped = false

  const release = (): void => {
    const now = performance.now()
    let released = 0
    for (const { at, send } of held) {
      if (at > now) break
      released++
      send()
    }
    held.splice(0, released)
    const next = held[0]
    timer = next && setTimeout(release, Math.max(0, next.at - now))
  }

  const make = async (address: string, port: number): Promise<Socket> => {
    const socket = createSocket({
      type: 'udp4',
      recvBufferSize: SOCKET_BUFFER_BYTES,
      sendBufferSize: SOCKET_BUFFER_BYTES,
    })
    socket.on('message', (data, from) => {
      // The other end learns this end's port from its candidate. Until then ICE sends its checks again.
      const back = open.get(from.port)
      if (back === undefined) return
      held.push({ at: performance.now() + delayMs, send: () => isStopped || back.send(data, port, address) })
      timer ??= setTimeout(release, delayMs)
    })
    // A port of an end that has closed answers with an ICMP error, which is not of interest here.
    socket.on('error', () => undefined)
    socket.bind(0, address)
    await once(socket, 'listening')
    open.set(port, socket)
    return socket
  }

  return {
    portFor: async (address, port) => {
      const socket = ends.get(port) ?? make(address, port)
      ends.set(port, socket)
      return (await socket).address().port
    },
    stop: () => {
      isStopped = true
      clearTimeout(timer)
      for (const socket of open.values()) socket.close()
    },
  }
}

/** Makes every page of the context send its WebRTC datagrams through the relay. */
export async function relayPages(context: BrowserContext, relay: DelayingRelay): Promise<void> {
  await context.exposeFunction('relayPortFor', (address: string, port: number) =>
    relay.portFor(address, port),
  )
  await context.addInitScript(patchCandidates)
}

/** Runs in the page. It replaces the port of each IPv4 candidate over UDP, and drops the other candidates. */
function patchCandidates(): void {
  const scope = globalThis as unknown as { relayPortFor(address: string, port: number): Promise<number> }
  const addIceCandidate: () => unknown = Reflect.get(RTCPeerConnection.prototype, 'addIceCandidate')
  RTCPeerConnection.prototype.addIceCandidate = async function (
    this: RTCPeerConnection,
    given?: RTCIceCandidateInit | null,
  ): Promise<void> {
    const parts = given?.candidate?.split(' ') ?? []
    const [address, port] = [parts[4] ?? '', Number(parts[5])]
    if (parts[2]?.toLowerCase() !== 'udp' || !/^\d+\.\d+\.\d+\.\d+$/.test(address)) return
    parts[5] = String(await scope.relayPortFor(address, port))
    const init = {
      candidate: parts.join(' '),
      sdpMid: given?.sdpMid ?? null,
      sdpMLineIndex: given?.sdpMLineIndex ?? 0,
    }
    await Reflect.apply(addIceCandidate, this, [init])
  }
}

import { join } from 'node:path'
import type { Node } from '@peerage/test-support/node.js'
import { BROWSERS, type BrowserName, type ShareBrowser } from '../browsers.js'
import type { Case, Settings } from '../case.js'
import type { Tab } from '../tab.js'
import { hashOf, MIB, randomFile, saved, startTestbed, type Testbed } from '../testbed.js'

// A host and a guest in two browsers, and what happens to one of them in the middle.

const MOVED_MS = 300_000

interface Pair {
  bed: Testbed
  file: string
  bytes: number
  host: Tab
  guest: Tab
  guestBrowser: ShareBrowser
  /** The nodes of the two pages. */
  hostNode: Node
  guestNode: Node
}

type Trouble = 'nothing' | 'host-node-killed' | 'guest-node-killed' | 'host-reloaded' | 'guest-reloaded'

const TROUBLES: readonly Trouble[] = [
  'nothing',
  'host-node-killed',
  'guest-node-killed',
  'host-reloaded',
  'guest-reloaded',
]

export const pairs: readonly Case[] = BROWSERS.flatMap((host) =>
  BROWSERS.flatMap((guest) =>
    TROUBLES.map((trouble) => ({
      id: `${host}:${guest}${trouble === 'nothing' ? '' : `:${trouble}`}`,
      title: `${host} → ${guest}, ${trouble.replaceAll('-', ' ')}`,
      run: (settings) => between(host, guest, trouble, settings),
    })),
  ),
)

async function between(
  hostName: BrowserName,
  guestName: BrowserName,
  trouble: Trouble,
  { megabytes }: Settings,
): Promise<string> {
  const bed = await startTestbed()
  try {
    const bytes = megabytes * MIB
    const file = await randomFile(bed.folder, 'content.bin', bytes)
    const hostBrowser = await bed.browser(hostName)
    const guestBrowser = await bed.browser(guestName)
    await bed.steer(0)
    const host = await hostBrowser.open(bed.url)
    const link = await host.link()
    await host.share([file])
    await bed.steer(1)
    const guest = await guestBrowser.open(link)
    await bed.steer()
    const [hostNode, guestNode] = bed.nodes
    if (hostNode === undefined || guestNode === undefined) throw new Error('unreachable: there are two nodes')
    const startedAt = performance.now()
    await guest.accept('Keep in this browser')
    const note = await disturb(trouble, { bed, file, bytes, host, guest, guestBrowser, hostNode, guestNode })
    await guest.untilRow('content.bin', 'complete', MOVED_MS)
    const seconds = (performance.now() - startedAt) / 1000
    await host.untilRow('content.bin', 'complete', MOVED_MS)
    await guest.press('Save content.bin')
    const copy = join(guestBrowser.downloads, 'content.bin')
    await saved(copy, bytes)
    if ((await hashOf(copy)) !== (await hashOf(file))) throw new Error('the hash differs')
    return `${(bytes / 1e6 / seconds).toFixed(0)} MB/s${note}`
  } finally {
    await bed.stop()
  }
}

/** Does what the case is about, in the middle of the transfer. Resolves with what it found. */
async function disturb(trouble: Trouble, pair: Pair): Promise<string> {
  if (trouble === 'nothing') return ''
  const { host, guest, bytes, file } = pair
  const before = await guest.untilBytes('content.bin', bytes / 4)
  if (before >= bytes) throw new Error('the file was complete before anything happened')
  switch (trouble) {
    case 'host-node-killed':
      await pair.hostNode.kill()
      return ''
    case 'guest-node-killed':
      await pair.guestNode.kill()
      return ''
    case 'host-reloaded': {
      await host.reload()
      await host.see('Choose the same file again to go on')
      const received = await guest.bytesReceived()
      await host.share([file])
      await guest.untilRow('content.bin', 'complete', MOVED_MS)
      const again = (await guest.bytesReceived()) - received
      return `, ${inMegabytes(again)} of ${inMegabytes(bytes)} after the reload${lessThan(bytes, before, again)}`
    }
    case 'guest-reloaded': {
      await guest.reload()
      await guest.untilRow('content.bin', 'complete', MOVED_MS)
      const again = await guest.bytesReceived()
      return `, ${inMegabytes(again)} of ${inMegabytes(bytes)} after the reload${lessThan(bytes, before, again)}`
    }
  }
}

/** Nothing that was kept may be moved again, but for what was on its way. */
function lessThan(bytes: number, kept: number, again: number): string {
  if (again === 0) throw new Error('the browser counted no bytes')
  const slack = 16 * MIB
  if (again > bytes - kept + slack)
    throw new Error(`${again} bytes were moved again, although ${kept} of ${bytes} were there`)
  return ''
}

const inMegabytes = (bytes: number): string => `${Math.round(bytes / 1e6)} MB`

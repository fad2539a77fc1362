import type { EndReason, FileState, SessionEnd, SharedFile, TransferItem } from '@peerage/client/transfer'
import { ConnectionFailure } from '../model/world.js'
import { FakeSession, FakeTransfer } from './fake-share.js'
import type { Demo } from './fake-world.js'

// Files, guests and ends of which the states are made.

export const LINK = { query: '?peer_id=k3v9-host', hash: '#AQx3mP0v7Jd2kQnYb8sZtLrWcEfGhUi5oKpNaMlXyVt1' }

export const file = (
  path: string,
  size: number,
  state: FileState = { name: 'offered' },
  direction: 'in' | 'out' = 'in',
  part = 0,
): TransferItem => ({
  kind: 'file',
  key: `${direction} ${path}`,
  id: path.length,
  path,
  size,
  type: '',
  direction,
  bytesDone: state.name === 'complete' || state.name === 'checking' ? size : Math.round(size * part),
  state,
})
export const text = (
  key: string,
  direction: 'in' | 'out',
  words: string,
  isDelivered = true,
): TransferItem => ({
  kind: 'text',
  key,
  direction,
  text: words,
  isDelivered,
  at: Date.UTC(2026, 10, 30, 9, 41),
})
export const moving: FileState = { name: 'accepted', isMoving: true }
export const waiting: FileState = { name: 'accepted', isMoving: false }
export const paused: FileState = { name: 'paused', here: true, there: false }
export const complete: FileState = { name: 'complete' }
export const saved = (where: string): FileState => ({ name: 'complete', received: { kind: 'saved', where } })
export const blob = (content: string): FileState => ({
  name: 'complete',
  received: { kind: 'blob', blob: new Blob([content]) },
})
export const failed = (reason: EndReason): FileState => ({ name: 'ended', reason, detail: '' })

export const photos = [
  'beach.jpg',
  'IMG_20260814_183205_HDR_long_name_from_a_camera_with_a_date_and_more_words.jpg',
  'sunset.heic',
]
export const shared = (paths: readonly string[], hasSource = true): SharedFile[] =>
  paths.map((path, id) => {
    const info = { path, size: 1_234_567 * (id + 1) ** 3, type: '' }
    return {
      ...info,
      id,
      source: hasSource ? { info, readBlock: () => Promise.reject(new Error('demo')) } : undefined,
    }
  })
export const offer = [
  file('holiday/beach.jpg', 4_200_000),
  file('holiday/sunset.heic', 3_100_000),
  file('holiday/videos/waves.mp4', 812_000_000),
  file('report.pdf', 380_000),
]
export const many = Array.from({ length: 5000 }, (_, index) =>
  file(index < 4800 ? `archive/${index % 40}/photo-${index}.jpg` : `loose-${index}.txt`, 2_000_000 + index),
)
export const guest = (name: string, device: string, items: readonly TransferItem[], speed = 0): FakeSession =>
  new FakeSession({ role: 'host', name, device, transfer: new FakeTransfer(items, speed) })
export const ended = (why: SessionEnd, items: readonly TransferItem[] = []): Demo => ({
  ...LINK,
  session: new FakeSession({ state: { name: 'ended', why, detail: '' }, transfer: new FakeTransfer(items) }),
})
export const failing = (why: 'unreachable' | 'refused' | 'not-loaded'): Demo => ({
  connect: () => Promise.reject(new ConnectionFailure(why)),
})
export const receiving = (
  parts: ConstructorParameters<typeof FakeSession>[0],
  items: readonly TransferItem[],
  speed = 0,
): Demo => ({
  ...LINK,
  session: new FakeSession({ ...parts, transfer: new FakeTransfer(items, speed) }),
})

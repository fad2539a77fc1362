import type { EndReason, Progress, SessionEnd, SharePath } from '@peerage/client/transfer'

// What `peerage send` and `peerage receive` tell. `--json` prints one of these a line: docs/share.md describes them.

/** A file of an offer. */
export interface EventFile {
  path: string
  size: number
}

/** How the transfer of one file stands: see `FileState` of the SDK. */
export type FileEventState = 'accepted' | 'paused' | 'checking' | 'complete' | 'ended'

interface OfPeer {
  /** The name of the other peer. */
  peer: string
}

export type ShareEvent =
  | { event: 'share'; link: string; files: EventFile[]; expiresAt?: number }
  | { event: 'code'; code: string }
  | { event: 'code-gone'; why: 'used' | 'burnt' | 'failed'; detail: string }
  | { event: 'skipped'; path: string; why: string }
  | (OfPeer & { event: 'connecting' })
  | (OfPeer & { event: 'open'; path: SharePath; device: string })
  | (OfPeer & { event: 'reconnecting'; isPeerAway: boolean })
  | (OfPeer & { event: 'closed'; why: SessionEnd; detail: string })
  | (OfPeer & { event: 'offer'; files: EventFile[] })
  | (OfPeer & {
      event: 'file'
      direction: 'in' | 'out'
      path: string
      size: number
      state: FileEventState
      reason?: EndReason
      detail?: string
      savedTo?: string
    })
  | (OfPeer & { event: 'progress'; direction: 'in' | 'out' } & Progress)
  | (OfPeer & { event: 'text'; direction: 'in' | 'out'; text: string })
  | { event: 'warning' | 'error'; message: string }
  | { event: 'end'; code: number; message: string }

export type Tell = (event: ShareEvent) => void

import type { Name } from '@peerage/protocol'

// What the parts of the file transfer agree on: files, where they come from, where they go, and what carries them.

/** The bytes of one block. The last block of a file may be shorter. */
export const BLOCK_BYTES = 1024 * 1024

/** What a sender says about a file. */
export interface FileInfo {
  /** The relative path, with `/` between folders, such as `photos/2026/cat.jpg`. */
  path: string
  /** The size in bytes. */
  size: number
  /** The media type, such as `image/jpeg`. Empty if it is unknown. */
  type: string
  /** When the file was last modified, in milliseconds since 1970. */
  modifiedAt?: number | undefined
}

/** A file of an offer, with the number that the sender gave it. */
export interface OfferedFile extends FileInfo {
  /** The number that the sender gave it. */
  id: number
}

/** One block of a file and its SHA-256. */
export interface Block {
  /** Its content. */
  bytes: Uint8Array<ArrayBuffer>
  /** The SHA-256 of the content, 32 bytes. */
  hash: Uint8Array<ArrayBuffer>
}

/** A file that can be read, block by block and more than once. */
export interface Source {
  /** What others are told about the file. */
  readonly info: FileInfo
  /**
   * Reads block `index`, counted from 0. The caller takes the bytes over: nobody else uses them from then on.
   * @throws SourceError if the file has changed since it was offered, or cannot be read
   */
  readBlock(index: number): Promise<Block>
}

/** Why a file cannot be read to its end. */
export class SourceError extends Error {
  override name = 'SourceError'
  /** Whether the file was changed, or cannot be read. */
  readonly reason: 'changed' | 'unreadable'

  constructor(reason: 'changed' | 'unreadable', message: string, options?: ErrorOptions) {
    super(message, options)
    this.reason = reason
  }
}

/** Where received files go. */
export interface Store {
  /** Whether the blocks that are kept survive a reload of the page or a restart of the program. */
  readonly isDurable: boolean
  /** The largest file that fits, in bytes. `Infinity`: no limit is known. */
  readonly bytesMax: number
  /**
   * How many places may be open at once, such as 1 for a stream that holds one file after the other. Default: 32. A place is
   * open from `open` until `finish`, `discard` or `close` has been called.
   */
  readonly openMax?: number | undefined
  /**
   * Opens the place for one file. `share` identifies the share, so that a later resume finds the same file again. If a
   * file of the same share, id, path, size and time was begun before, its blocks are in `kept`.
   * @throws StoreError if the file cannot be stored
   */
  open(file: OfferedFile, share: string): Promise<Target>
}

/** The place of one file that is being received. Calls of `put` do not overlap. */
export interface Target {
  /** The blocks that were kept before: their numbers and hashes. */
  readonly kept: ReadonlyMap<number, Uint8Array<ArrayBuffer>>
  /** True: blocks must be put in order, because the place is a stream. */
  readonly inOrder: boolean
  /**
   * Checks a block against its hash and keeps it. The target takes the bytes over: nobody else uses them from then on.
   * Resolves when the block counts: for a durable store, when it is on disk.
   * False: the bytes do not match the hash, and nothing was kept.
   * @throws StoreError if the block cannot be stored, such as on a full disk
   */
  put(index: number, block: Block): Promise<boolean>
  /**
   * Makes the whole file available. Called once, after all blocks were put and checked.
   * @throws StoreError
   */
  finish(): Promise<Received>
  /** Removes everything that was kept. */
  discard(): Promise<void>
  /** Ends the work for now. What was kept stays, if the store is durable. */
  close(): Promise<void>
}

/** A file that has arrived and was checked. */
export type Received =
  /** The content, for the application to use or to offer for saving. */
  | { kind: 'blob'; blob: Blob }
  /** The file was saved. `where` is its path or the name of its folder, for people. */
  | { kind: 'saved'; where: string }

/**
 * What keeps a file from being stored: no room; a file that has its name and could be replaced; something that has its
 * name and is never replaced, such as a folder; a name that the place does not take; or something else.
 */
export type StoreProblem = 'full' | 'exists' | 'in-the-way' | 'bad-name' | 'failed'

/** Why a file cannot be stored. */
export class StoreError extends Error {
  override name = 'StoreError'
  /** What keeps the file from being stored. */
  readonly reason: StoreProblem

  constructor(reason: StoreProblem, message: string, options?: ErrorOptions) {
    super(message, options)
    this.reason = reason
  }
}

/** Text, or bytes in memory that nobody else uses. */
export type Message = string | Uint8Array<ArrayBuffer>

/**
 * One way to carry messages between the two peers: an open channel, several channels, or the server. Text messages arrive
 * in order. A binary message may overtake others. A message arrives once or the conduit closes.
 */
export interface Conduit {
  /** The largest message that it carries, in bytes. */
  readonly messageBytesMax: number
  /**
   * Resolves when the message was accepted and there is room for more. The caller may then use the memory of the message
   * again. Rejects when the conduit is closed.
   */
  send(message: Message): Promise<void>
  /** Calls the listener for each message. Messages that came before are kept for the first listener. */
  onMessage(listener: (message: Message) => void): () => void
}

/** Why the transfer of a file ended without the file. */
export type EndReason =
  /** The receiver did not want the file. */
  | 'rejected'
  /** This side cancelled it. */
  | 'cancelled-here'
  /** The other side cancelled it. */
  | 'cancelled-there'
  /** The other peer is gone for good. */
  | 'peer-offline'
  /** This peer is gone for good: it was closed, or the server refused it. */
  | 'self-offline'
  /** This side could not read or store the file. */
  | 'error-here'
  /** The other side could not read or store the file, or broke the protocol. */
  | 'error-there'
  /** The channel closed, and nothing can replace it. */
  | 'channel-closed'
  /** No byte moved for two minutes although the peers were connected. */
  | 'too-slow'
  /** No byte came within 30 s after this side accepted the file. */
  | 'first-byte-timeout'
  /** The share is for one receiver, and another one took it. */
  | 'taken-elsewhere'
  /** The file was changed while it was sent, or between two connections. */
  | 'file-changed'
  /** The sender stopped sharing, or the share expired. */
  | 'stopped'

/** How the transfer of a file stands. */
export type FileState =
  /**
   * The receiver has not answered the offer yet. `isMissing`, on the receiver's side: the page of the sender was reloaded,
   * so the file comes after the sender has chosen it again.
   */
  | { name: 'offered'; isMissing?: boolean | undefined }
  /** Accepted, and its turn has not come or it is being moved. `isMoving`: bytes move now. */
  | { name: 'accepted'; isMoving: boolean }
  /**
   * Paused by this side, by the other side, or by both. `isMissing`: it waits until the sender has chosen the file again,
   * because its page was reloaded.
   */
  | { name: 'paused'; here: boolean; there: boolean; isMissing?: boolean | undefined }
  /** All bytes were sent, and the receiver has not confirmed the file yet; or all were received and are being checked. */
  | { name: 'checking' }
  /** The receiver has the whole file, and has checked it. `received` is set on the receiver's side. */
  | { name: 'complete'; received?: Received | undefined }
  | { name: 'ended'; reason: EndReason; detail: string }

/** A file of a transfer, as the application sees it. Objects are replaced when they change. */
export interface TransferFile extends OfferedFile {
  /** It is a file, not a text. */
  kind: 'file'
  /** Unique among the items of the transfer. */
  key: string
  /** Whether this side sends or receives it. */
  direction: 'out' | 'in'
  /** How many bytes the receiver has kept, as far as this side knows. */
  bytesDone: number
  /** How it stands. */
  state: FileState
}

/** A text of a transfer. */
export interface TransferText {
  /** It is a text, not a file. */
  kind: 'text'
  /** Unique among the items of the transfer. */
  key: string
  /** Whether this side has sent or received it. */
  direction: 'out' | 'in'
  /** The text itself. */
  text: string
  /** True once the other side has it. Always true for a text of the other side. */
  isDelivered: boolean
  /** When it was sent or received, in milliseconds since 1970. */
  at: number
}

/** Files and texts, in the order in which they came. */
export type TransferItem = TransferFile | TransferText

/** The sums of one direction, over all files that were accepted and have not ended. */
export interface Progress {
  /** How many files. */
  files: number
  /** How many of them are complete. */
  filesComplete: number
  /** Their sizes together. */
  bytes: number
  /** How many bytes of them the receiver has. */
  bytesDone: number
  /** Over the last seconds. 0 if nothing moves. */
  bytesPerSecond: number
  /** Undefined if it cannot be told. */
  secondsLeft: number | undefined
}

/** Everything about a transfer that an application shows. */
export interface TransferState {
  /** Files and texts, in the order in which they came. */
  items: readonly TransferItem[]
  /** The sums of what this side receives. */
  in: Progress
  /** The sums of what this side sends. */
  out: Progress
}

/** How the bytes travel now. */
export type SharePath = 'direct' | 'relayed' | 'server'

/** How the connection between a host and a guest stands. */
export type SessionState =
  | { name: 'connecting' }
  /** Both sides have proven who they are. */
  | { name: 'open'; path: SharePath; sameLan: boolean }
  /** The connection is lost, and the session makes a new one. `isPeerAway`: the other page is not connected. */
  | { name: 'reconnecting'; isPeerAway: boolean }
  /** Nothing follows. */
  | { name: 'ended'; why: SessionEnd; detail: string }

/** Why a session ended or could not begin. */
export type SessionEnd =
  /** No peer has the name of the link, or the number of the code. */
  | 'not-found'
  /** The link's secret is not the one of the share: the link is cut short, or it is an old one. */
  | 'wrong-link'
  /** The key of the other side is not the one in the link, or the connection was tampered with. */
  | 'not-verified'
  | 'wrong-password'
  /** The password was wrong ten times, so the share takes nobody new. */
  | 'locked'
  | 'wrong-code'
  /** The share is for one receiver, and another one took it. */
  | 'taken-elsewhere'
  /** The host stopped sharing. */
  | 'stopped'
  | 'expired'
  /** The other peer has left, or has been away for too long. */
  | 'peer-left'
  /** This peer was closed. */
  | 'self-closed'
  /** This side closed the session. */
  | 'closed-here'
  /** The other side closed the session. */
  | 'closed-there'
  /** The other side cannot read this version's messages. */
  | 'incompatible'
  | 'failed'

/** Whether the receiver agreed to move more than 100 MB through the server. */
export type Consent = 'not-needed' | 'asked' | 'given' | 'refused'

/** The peer at the other end of a session. */
export interface ShareGuest {
  /** Its name. */
  name: Name
  /** Such as `Firefox on Android`. Empty if it did not say. */
  device: string
}

import type {
  FileInfo,
  HostOptions,
  JoinOptions,
  Received,
  ShareHost,
  ShareLink,
  ShareSession,
  Source,
  Store,
} from '@peerage/client/transfer'
import type { StoreChoice, WholeFile } from '../storage/storage.js'

/** What the browser and the address of the page allow. */
export interface Features {
  /** https, or loopback. Elsewhere browsers lock away the clipboard, their storage and the dialogs for saving. */
  isSecure: boolean
  /** The address of the page leads to this computer only. */
  isLoopback: boolean
  canShare: boolean
  canPickFolder: boolean
  /** The main way of pointing is a finger, so nothing can be dragged here. */
  isTouch: boolean
}

/** What is remembered until this tab is closed, as `sessionStorage` does. */
export interface TabMemory {
  get(key: string): string | undefined
  set(key: string, value: string): void
  remove(key: string): void
}

/** How the fragment of a link reads. */
export type LinkReading = 'ok' | 'needs-password' | 'missing' | 'cut' | 'extra' | 'other-version'

/** What an end of the connection to the server means for the page. */
export type ServerState = 'online' | 'lost' | 'superseded' | 'closed'

/** A file whose place is looked for. */
export type Wanted = Pick<FileInfo, 'path' | 'size'>

/** Where received files can go. */
export interface Saving {
  /** What is possible for these files, the best way first. */
  choices(files: readonly Wanted[]): readonly StoreChoice[]
  /**
   * Called in the click itself, because a browser shows its dialog only then. Undefined: the person closed the dialog.
   * Rejects with `PartMissing`, or if the place cannot be used.
   */
  open(choice: StoreChoice, files: readonly Wanted[]): Promise<OpenedStore | undefined>
  /** The store whose files survive a reload. Undefined: there is none here. */
  readonly durable: Store | undefined
  /** The files of a share that are whole in this browser's own storage. `share`: see `Connection.shareOf`. */
  wholeFiles(share: string): Promise<readonly WholeFile[]>
  /** The content was saved, or is not wanted any more. */
  release(content: Blob): void
}

export interface OpenedStore {
  store: Store
  /** Ends the archive of this store, when all of its files have ended. Undefined: it makes no archive. */
  endArchive?: (() => Promise<Received>) | undefined
}

/** A connection to the server, with the sharing over it. */
export interface Connection {
  readonly name: string
  /** Whether direct connections are possible, and if not, why. */
  readonly direct: 'possible' | 'no-webrtc' | 'off'
  /** Whether the server passes files on. */
  readonly isServerWay: boolean
  onServer(listener: (state: ServerState) => void): void
  /** Calls the listener when a guest has come, and the code for it could not be loaded. */
  onMissing(listener: (error: unknown) => void): void
  readLink(link: ShareLink): LinkReading | 'bad-name'
  /** The name by which the storage knows the share of a link. Undefined: it is no link. */
  shareOf(link: ShareLink): string | undefined
  sourceOf(file: File, path: string): Source
  host(options: HostOptions): ShareHost
  /** `to`: a link or a code. Rejects if the code for sessions could not be loaded. */
  join(to: ShareLink | string, options: JoinOptions): Promise<ShareSession>
  /** Starts the storage. Rejects with `PartMissing`. */
  openSaving(): Promise<Saving>
  /** Loads what the first guest needs. */
  load(): Promise<void>
}

/** Why there is no connection. */
export class ConnectionFailure extends Error {
  override name = 'ConnectionFailure'
  readonly why: 'unreachable' | 'refused' | 'not-loaded'

  constructor(why: 'unreachable' | 'refused' | 'not-loaded', options?: ErrorOptions) {
    super(`the server cannot be used: ${why}`, options)
    this.why = why
  }
}

/** A part of the page could not be loaded, because the server has another version now. */
export class PartMissing extends Error {
  override name = 'PartMissing'
}

export type ReadCode = { ok: true; code: string } | { ok: false; word: string | undefined }

/** The module for codes, which is loaded when it is needed. */
export interface Codes {
  /** The words that fit what was typed so far. */
  complete(text: string): readonly string[]
  /** The code in its normal form, or what is wrong: a word that is in no code, or its form. */
  read(text: string): ReadCode
}

/** Everything outside of the page's own code. Tests use another one. */
export interface World {
  /** The address of the page, with its query and fragment. */
  readonly href: string
  readonly features: Features
  readonly memory: TabMemory
  readonly languages: readonly string[]
  connect(signal: AbortSignal): Promise<Connection>
  codes(): Promise<Codes>
  qr(text: string): Promise<QrCode>
  /** Opens an address in this tab. */
  go(href: string): void
}

/** A QR code as the path of an SVG. */
export interface QrCode {
  size: number
  path: string
}

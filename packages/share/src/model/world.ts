import type {
  HostOptions,
  JoinOptions,
  ShareHost,
  ShareLink,
  ShareSession,
  Source,
  Store,
} from '@peerage/client/transfer'

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
export type LinkReading = 'ok' | 'needs-password' | 'missing' | 'cut' | 'other-version'

/** What an end of the connection to the server means for the page. */
export type ServerState = 'online' | 'lost' | 'superseded' | 'closed'

/** How received files can be saved. */
export type WayKind = 'disk' | 'file' | 'folder' | 'download' | 'zip' | 'memory'

/** A way to save received files. */
export interface Way {
  kind: WayKind
  /** How many bytes fit. `Infinity`: no limit is known. */
  bytesMax: number
  /** Whether it can take these files, such as one file only, or a tree of folders. */
  takes(files: readonly { path: string; size: number }[]): boolean
  /**
   * Called in the click itself, because a browser shows its dialog only then. Undefined: the person closed the dialog.
   */
  open(files: readonly { path: string; size: number }[]): Promise<Store | undefined>
}

/** A connection to the server, with the sharing over it. */
export interface Connection {
  readonly name: string
  /** Whether direct connections are possible, and if not, why. */
  readonly direct: 'possible' | 'no-webrtc' | 'off'
  /** Whether the server passes files on. */
  readonly isServerWay: boolean
  onServer(listener: (state: ServerState) => void): void
  host(options: HostOptions): ShareHost
  /** `to`: a link or a code. */
  join(to: ShareLink | string, options: JoinOptions): ShareSession
  /** With what a guest comes back after a reload. Undefined: nothing is needed. */
  ticketOf(session: ShareSession): string | undefined
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

/** The module for codes, which is loaded when it is needed. */
export interface Codes {
  /** The words that fit what was typed so far. */
  complete(text: string): readonly string[]
  /** The code in its normal form. Undefined: it is not a code. */
  normal(text: string): string | undefined
}

/** Everything outside of the page's own code. Tests use another one. */
export interface World {
  /** The address of the page, with its query and fragment. */
  readonly href: string
  readonly features: Features
  readonly memory: TabMemory
  readonly languages: readonly string[]
  connect(signal: AbortSignal): Promise<Connection>
  readLink(link: ShareLink): LinkReading | 'bad-name'
  sourceOf(file: File, path: string): Source
  /** The best way comes first. */
  ways(): Promise<readonly Way[]>
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

import type { Name } from '@peerage/protocol'
import type { Clock } from '../lib/clock.js'
import type { Verify } from '../p2p/options.js'
import type { Peer } from '../peer.js'
import type { Consent, OfferedFile, SessionState, ShareGuest, Source, Store, TransferState } from './types.js'

// The interface between sharing and the applications that use it: the page of a node, and the terminal.

/** The files and texts that go between this peer and one other peer, in both directions. It outlives connections. */
export interface TransferControls {
  /** Everything to show. The object is replaced at each change. */
  readonly state: TransferState
  /** Calls the listener after each change, at most about ten times a second for mere progress. */
  onChange(listener: () => void): () => void
  /** Offers files to the other peer. */
  offer(sources: readonly Source[]): void
  /**
   * Accepts offered files, by their keys. `store`: where they go; default: the store of the session.
   * Files are received in the order of the keys.
   */
  accept(keys: readonly string[], store?: Store): void
  /**
   * Says that these offered files are not wanted. With `problem`, that they cannot be stored here, and why: a sentence that
   * both sides show. They then end as an error, and can be accepted later.
   */
  reject(keys: readonly string[], problem?: string): void
  /** Ends files of either direction, and tells the other side. */
  cancel(keys: readonly string[]): void
  /** Stops files for now. Default: all files of both directions. */
  pause(keys?: readonly string[]): void
  /** Goes on with paused files. Default: all of this side. */
  resume(keys?: readonly string[]): void
  /** Removes items that have ended or are complete from `state`. */
  remove(keys: readonly string[]): void
  /** @throws RangeError if the text is empty or too long */
  sendText(text: string): void
}

/** A verified connection to one other peer, kept up over all losses until one side ends it. */
export interface ShareSession {
  /** Which side this peer is. */
  readonly role: 'host' | 'guest'
  /** The other peer. */
  readonly peer: ShareGuest
  /** How the connection stands. */
  readonly state: SessionState
  /** The files and texts. */
  readonly transfer: TransferControls
  /** Whether the receiver has agreed to move more than 100 MB through the server. Only the receiver is asked. */
  readonly consent: Consent
  /** How many bytes a second the server carries at most. Undefined: it carries none. */
  readonly serverBytesPerSecond: number | undefined
  /** Whether the guest of this session has taken a one-time share by its Accept. */
  readonly hasTaken: boolean
  /**
   * With this ticket, a guest that has taken a one-time share comes back after a reload: pass it to `join`. It is secret.
   * Undefined: the host has not welcomed this guest yet, or this side is the host.
   */
  readonly guestTicket: string | undefined
  /** Whether the share is for one receiver. A guest knows it from the host's welcome on. */
  readonly isOneTime: boolean
  /** When the share ends, in milliseconds since 1970. Undefined: it does not, or the host has not welcomed this guest yet. */
  readonly expiresAt: number | undefined
  /**
   * With this link a guest joins again after a reload. The guest of a code has one of its own, which needs no password, once
   * the host has accepted the code. Undefined on the side of the host.
   */
  readonly link: ShareLink | undefined
  /** After the end `wrong-password`: how many more tries the share takes, if the host has said so. */
  readonly passwordTriesLeft: number | undefined
  /** The answer of the person to `consent` being `asked`. */
  answerConsent(isGiven: boolean): void
  /** Calls the listener after each change of what is above, `transfer` excepted. */
  onChange(listener: () => void): () => void
  /** Ends the session, and tells the other side. */
  close(): void
}

/** How the share of a host stands. */
export type HostState =
  | { name: 'open' }
  /** Ten wrong passwords came, so nobody new gets in. Sessions go on. */
  | { name: 'locked' }
  /** A one-time share was taken. Its session goes on. */
  | { name: 'taken' }
  | { name: 'stopped'; why: 'stopped' | 'expired' }

/** The code that people say aloud instead of a link. */
export type CodeState =
  | { name: 'none' }
  | { name: 'making' }
  | { name: 'ready'; code: string }
  /** Somebody guessed wrong, so this code is void. `next` makes a new one. */
  | { name: 'burnt' }
  /** A guest has used it. */
  | { name: 'used' }
  | { name: 'failed'; detail: string }

/** A file of a share. `source` is undefined after a reload, until the person has chosen the same file again. */
export interface SharedFile extends OfferedFile {
  /** Where it is read from. */
  source: Source | undefined
}

/** What a peer shares by one link. */
export interface ShareHost {
  /** The name of this peer, which is in the link. */
  readonly name: Name
  /** Who gets in now. */
  readonly state: HostState
  /** The code that stands beside the link. */
  readonly code: CodeState
  /** What is shared, in the order in which it was added. */
  readonly files: readonly SharedFile[]
  /** The sessions with guests, also those that have ended and were not closed here. */
  readonly sessions: readonly ShareSession[]
  /** Whether guests need a password. */
  readonly hasPassword: boolean
  /** Whether the share is for one receiver. */
  readonly isOneTime: boolean
  /** Milliseconds since 1970. */
  readonly expiresAt: number | undefined
  /** The link for guests. `base` is the URL of the page, such as `https://peers.example/`. */
  link(base: string): string
  /** Adds files, for all sessions and for those to come. A file that was shared before a reload is matched again. */
  add(sources: readonly Source[]): void
  /** Stops sharing these files. Transfers of them end as `stopped`. */
  removeFiles(ids: readonly number[]): void
  /** Sets or removes the password. Wrong tries are forgotten. */
  setPassword(password: string | undefined): void
  /** Says whether the share is for one receiver. False frees a share that was taken. */
  setOneTime(isOneTime: boolean): void
  /** Says when the share ends, in milliseconds since 1970. Undefined: never. */
  setExpiry(at: number | undefined): void
  /** Makes a new code, and voids the one before. */
  newCode(): void
  /** Voids the code. */
  dropCode(): void
  /** Ends all sessions and voids the link. */
  stop(): void
  /** What `host({ saved })` needs after a reload: a secret, so keep it where only this tab can read it. */
  save(): string
  /** Calls the listener after each change of what is above. Returns a function that removes it. */
  onChange(listener: () => void): () => void
}

/** The parts of a link: `?peer_id=name#fragment`. */
export interface ShareLink {
  /** The name of the host: `peer_id`. */
  name: string
  /** What follows `#`, without it. It is secret. */
  fragment: string
}

/** The options of `createSharing`. */
export interface SharingOptions {
  /** Where files go that the application accepts without naming a store. */
  store: Store
  /** Connects a second peer with this name, for codes. Undefined: no codes. */
  connectAs?: ((name: string) => Promise<Peer>) | undefined
  /** What to tell others about this device, such as `Firefox on Android`. */
  device?: string | undefined
  /**
   * Over how many channels a guest sends and receives bytes at most, from 1 to 4. Over long distances, four move more than
   * twice as much as one, and a connection is lost if any of its channels is. Default: 1. The page of a node uses 4.
   */
  channels?: number | undefined
  /**
   * From which round trip, in milliseconds, and for how many bytes that are still to be moved a guest opens more than one
   * channel. Default: 5 ms and 16 MiB, below which more channels gain nothing.
   */
  moreChannels?: { rttMs: number; bytesLeft: number } | undefined
  /** Gets errors of the program, such as one that a listener threw. Default: they go to the console. */
  onError?: ((error: unknown) => void) | undefined
  /** The source of time. Default: the system's. */
  clock?: Clock | undefined
}

/** The options of `host`. */
export interface HostOptions {
  /** What guests must know, beside the link. */
  password?: string | undefined
  /** Whether the share is for one receiver. Default: false. */
  isOneTime?: boolean | undefined
  /** When the share ends, in milliseconds since 1970. */
  expiresAt?: number | undefined
  /** What `save` returned before a reload. It is ignored if it is for another name or unreadable. */
  saved?: string | undefined
}

/** The options of `join`. */
export interface JoinOptions {
  /** The password of the share, if it has one. */
  password?: string | undefined
  /** The ticket from `guestTicket` before a reload, with which a guest that took a one-time share comes back. */
  ticket?: string | undefined
}

/** Files and texts between this peer and others, by links and codes: what `createSharing` makes. */
export interface Sharing {
  /** Proves who is at the other end of a channel. Pass it to `connect` as `p2p: { verify }`. */
  readonly verify: Verify
  /** Uses this peer from now on. Call it once, when `connect` has resolved. */
  start(peer: Peer): void
  /**
   * Loads the code for sessions, passwords, codes and channels, which is otherwise loaded when it is first needed. A page
   * calls it when nothing else is to do. Then the first guest waits for nothing, and a server with another version of the
   * page breaks nothing later. Before `start`, it leaves out the code for channels.
   * @throws PeerageError `not-loaded`
   */
  load(): Promise<void>
  /**
   * Shares files and texts under a link. One share at a time: `stop` the one before.
   * @throws Error before `start`, or while a share is open
   */
  host(options?: HostOptions): ShareHost
  /**
   * Opens a link. Resolves when the code for sessions is loaded. The session says how it goes: a link that is wrong ends it
   * at once.
   * @throws PeerageError `not-loaded`
   * @throws Error before `start`, or if the peer was closed meanwhile
   */
  join(link: ShareLink, options?: JoinOptions): Promise<ShareSession>
  /**
   * Uses a code that somebody has said, such as `17-crane-otter-tulip`. Resolves as `join` does.
   * @throws PeerageError `not-loaded`
   * @throws Error before `start`, or if the peer was closed meanwhile
   */
  joinCode(code: string, options?: JoinOptions): Promise<ShareSession>
  /**
   * Ends all sessions and the share on this side. The peer stays open. Resolves when the other sides have been told and
   * have all that was sent, or after 10 s, so that the peer can leave. Never rejects.
   */
  close(): Promise<void>
}

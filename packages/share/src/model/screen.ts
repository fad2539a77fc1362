import type { ShareHost, ShareLink, ShareSession } from '@peerage/client/transfer'
import type { LinkReading, ServerState } from './world.js'

/** What stops the page. */
export type Problem =
  | 'unreachable'
  | 'refused'
  | 'notLoaded'
  | 'noWayAtAll'
  | 'badName'
  | 'missingFragment'
  | 'cutFragment'
  | 'extraFragment'
  | 'otherVersion'
  | 'unexpected'

/** What the person sees below the header. */
export type Screen =
  | { name: 'starting' }
  | { name: 'host'; host: ShareHost; notice: 'ownLink' | 'emptyName' | undefined }
  | { name: 'guest'; session: ShareSession; to: ShareLink | string }
  | { name: 'code' }
  /** `triesLeft`: after a wrong password, if the host has said it. */
  | { name: 'password'; link: ShareLink; isWrong: boolean; triesLeft: number | undefined }
  | { name: 'problem'; problem: Problem }

/** What is said above the screen. The screen goes on. */
export type Banner = 'serverLost' | 'superseded' | 'serverClosed' | 'notLoaded' | 'noWebRtc' | 'p2pOff'

/** Why nothing of what the person picked was added: a folder cannot be read, or there are too many files. */
export type Trouble = 'folder' | 'many'

/** What is wrong with a link. */
export const problemOf = {
  'bad-name': 'badName',
  missing: 'missingFragment',
  cut: 'cutFragment',
  extra: 'extraFragment',
  'other-version': 'otherVersion',
} as const satisfies Record<Exclude<LinkReading, 'ok' | 'needs-password'> | 'bad-name', Problem>

/** What is said about the connection to the server. */
export const bannerOf: Readonly<Record<ServerState, Banner | undefined>> = {
  online: undefined,
  lost: 'serverLost',
  superseded: 'superseded',
  closed: 'serverClosed',
}

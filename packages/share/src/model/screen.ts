import type { ShareHost, ShareLink, ShareSession } from '@peerage/client/transfer'

/** What stops the page. */
export type Problem =
  | 'unreachable'
  | 'refused'
  | 'notLoaded'
  | 'noWayAtAll'
  | 'badName'
  | 'missingFragment'
  | 'cutFragment'
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

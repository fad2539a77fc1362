import type { Node } from '@peerage/core'

/** What the API needs of its node. */
export interface ApiNode extends Pick<
  Node,
  | 'id'
  | 'claim'
  | 'disconnects'
  | 'draining'
  | 'end'
  | 'leave'
  | 'listing'
  | 'lookup'
  | 'open'
  | 'recovering'
  | 'router'
  | 'sessions'
  | 'watchers'
> {
  readonly rooms: Pick<Node['rooms'], 'page' | 'sayFrom'>
}

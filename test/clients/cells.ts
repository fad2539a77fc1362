import type { Entrance } from './entrance.js'
import type { Participant, Platform, Program } from './participants.js'
import type { Site } from './site.js'

/** Where clients meet, and what happens to the servers meanwhile. */
export const SITUATIONS = [
  'reference server',
  'one node',
  'two nodes',
  'two nodes at once',
  'node killed',
  'node drained',
  'Redis failover',
  'Redis master killed',
] as const
export type Situation = (typeof SITUATIONS)[number]

/** Clients that run in one situation. */
export interface Cell {
  program: Exclude<Program, 'tracker'>
  /** Of the first and of the second participant. */
  platforms: readonly [Platform, Platform]
  situation: Situation
  /** Of the room or document. */
  password?: string
  /** The size of the file, for `webtorrent`. Default 5 MB. */
  bytes?: number
}

/** Starts what a cell needs, and ends it after the cell. */
export interface Stage {
  readonly site: Site
  start(platform: Platform): Promise<Participant>
  entrance(node: { host: string; port: number }): Promise<Entrance>
  /** The URL of the server that the client's own project has. */
  reference(): Promise<string>
}

/** From the loss of a node on, a client may need its back-off and its next announce. */
export const AFTER_LOSS_MS = 45_000

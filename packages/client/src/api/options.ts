import {
  aFunction,
  aSignal,
  aText,
  aTime,
  anObject,
  checkOptions,
  either,
  objectWith,
  oneOf,
  wholeUpTo,
  type Kinds,
} from '../lib/check.js'
import type {
  ActOptions,
  ApiOptions,
  CallOptions,
  DisconnectOptions,
  MessageOptions,
  MintOptions,
  PageOptions,
  PeersOptions,
  RegisterOptions,
  Revocation,
  ServerOptions,
} from './types.js'

// What the arguments of the typed client must be. The node checks how large a number may be.

const aCount = wholeUpTo(Number.MAX_SAFE_INTEGER)
const aState = oneOf('online', 'away')

const call: Kinds<CallOptions> = { signal: aSignal }
const act: Kinds<ActOptions> = { ...call, idempotencyKey: aText }
const page: Kinds<PageOptions> = { ...call, limit: aCount, cursor: aText }
const server: Kinds<ServerOptions> = { id: aText, address: aText, status: aText }

export const kinds = {
  api: {
    url: either(aText, objectWith('a URL', 'toString')),
    key: aText,
    timeoutMs: aTime,
    fetch: aFunction,
  } satisfies Kinds<ApiOptions>,
  call,
  act,
  page,
  peers: { ...page, state: aState } satisfies Kinds<PeersOptions>,
  allPeers: { ...call, state: aState } satisfies Kinds<Pick<PeersOptions, 'signal' | 'state'>>,
  message: { ...act, timeoutMs: aTime } satisfies Kinds<MessageOptions>,
  disconnect: { ...act, code: aCount, reason: aText, banMs: aTime } satisfies Kinds<DisconnectOptions>,
  mint: { ...call, sub: aText, ttlMs: aTime, peerage: anObject } satisfies Kinds<MintOptions>,
  revocation: { jti: aText, sub: aText, before: aTime, expiresAt: aTime } satisfies Kinds<Every<Revocation>>,
  server,
  change: { address: aText, status: aText } satisfies Kinds<Omit<ServerOptions, 'id'>>,
  registration: { ...server, onError: aFunction } satisfies Kinds<RegisterOptions>,
}

/** An object with the keys of all members of a union. */
type Every<T> = { [K in T extends unknown ? keyof T : never]: unknown }

/** @throws TypeError for an unknown option, or one with a wrong value */
export function checked<T extends object>(options: T, of: Kinds<T>, name?: string): T {
  checkOptions(options, of, name)
  return options
}

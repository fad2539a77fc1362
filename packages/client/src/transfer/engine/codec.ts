import type { OfferedFile } from '../types.js'
import type { BlockRange } from './block-set.js'
import {
  CONTROL_LENGTH_MAX,
  DETAIL_LENGTH_MAX,
  FILE_BYTES_MAX,
  IDS_MAX,
  OFFER_FILES_MAX,
  PATH_LENGTH_MAX,
  RANGES_MAX,
  RUN_LENGTH_MAX,
  TEXT_PIECE_LENGTH,
  TYPE_LENGTH_MAX,
} from './limits.js'
import type { Malformed } from './parts.js'

// The control messages [FT2]: JSON text, read once, here.

/** Whose files a message names: those that its sender offers, or those that its receiver offers. */
export type Of = 'mine' | 'yours'

export const wireReasons = [
  'cancelled',
  'error',
  'file-changed',
  'first-byte-timeout',
  'too-slow',
  'stopped',
  'taken-elsewhere',
  'offline',
] as const
/** Why the sender of `end` ended files. */
export type WireReason = (typeof wireReasons)[number]

export type Control =
  /** First after each attach. `run` is new when the other side has forgotten everything, such as after a reload. */
  | { type: 'begin'; run: string }
  | { type: 'offer'; files: readonly OfferedFile[] }
  | { type: 'accept' | 'reject' | 'done'; files: readonly number[] }
  /** Blocks to send, in addition to those that were asked for before. */
  | { type: 'need'; file: number; size: number; ranges: readonly BlockRange[] }
  /** How many bytes of a file the receiver has kept. */
  | { type: 'kept'; file: number; bytes: number }
  /** How many payload bytes may be sent on this conduit, in all. */
  | { type: 'grant'; bytes: number }
  /** The root hash, in hexadecimal digits. */
  | { type: 'root'; file: number; hash: string }
  /** The sender hashes what the receiver has. */
  | { type: 'hashing'; file: number; blocks: number }
  | { type: 'end'; of: Of; files: readonly number[]; reason: WireReason; detail: string }
  /** `isMissing`: the sender of the files must choose them again. */
  | { type: 'pause'; of: Of; files: readonly number[]; on: boolean; isMissing?: true }
  /** A piece of a text. `more`: others follow. */
  | { type: 'text'; id: number; text: string; more: boolean }
  /** All texts up to `id` have arrived. `again`: the receiver had no room for later ones, and has it now. */
  | { type: 'got'; id: number; again: boolean }

/** A message that is not the engine's. */
export interface OtherMessage {
  readonly type: string
  readonly [field: string]: unknown
}

export type Decoded =
  | { kind: 'control'; message: Control }
  | { kind: 'other'; message: OtherMessage }
  | Malformed

export const encodeControl = (message: Control): string => JSON.stringify(message)

export function decodeControl(text: string): Decoded {
  if (text.length > CONTROL_LENGTH_MAX) return malformed('a control message that is too long')
  const value = parseObject(text)
  const type = value?.['type']
  if (value === undefined || typeof type !== 'string') return malformed('a text that is no control message')
  const read = Object.hasOwn(readers, type) ? readers[type as Control['type']] : undefined
  if (read === undefined) return { kind: 'other', message: { ...value, type } }
  const message = read(value)
  return message === undefined ? malformed(`a bad \`${type}\` message`) : { kind: 'control', message }
}

type Fields = Readonly<Record<string, unknown>>

const malformed = (what: string): Malformed => ({ kind: 'malformed', what })

function parseObject(text: string): Fields | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return isObject(value) ? value : undefined
  } catch {
    return undefined
  }
}

const isObject = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
const isWhole = (value: unknown, max = Number.MAX_SAFE_INTEGER): value is number =>
  typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 && value <= max
const isId = (value: unknown): value is number => isWhole(value, 0xffff_ffff)
const isText = (value: unknown, max: number): value is string =>
  typeof value === 'string' && value.length <= max
const isOf = (value: unknown): value is Of => value === 'mine' || value === 'yours'
const isFlag = (value: unknown): value is boolean => typeof value === 'boolean'
const isReason = (value: unknown): value is WireReason => wireReasons.some((reason) => reason === value)
const isIds = (value: unknown): value is number[] =>
  Array.isArray(value) && value.length > 0 && value.length <= IDS_MAX && value.every(isId)

/** Each returns undefined for a message that breaks the table of FT2. */
const readers: { [T in Control['type']]: (fields: Fields) => Control | undefined } = {
  begin: ({ run }) => (isText(run, RUN_LENGTH_MAX) && run !== '' ? { type: 'begin', run } : undefined),
  offer: readOffer,
  accept: ({ files }) => (isIds(files) ? { type: 'accept', files } : undefined),
  reject: ({ files }) => (isIds(files) ? { type: 'reject', files } : undefined),
  done: ({ files }) => (isIds(files) ? { type: 'done', files } : undefined),
  need: ({ file, size, ranges }) =>
    isId(file) && isWhole(size) && isRanges(ranges) ? { type: 'need', file, size, ranges } : undefined,
  kept: ({ file, bytes }) => (isId(file) && isWhole(bytes) ? { type: 'kept', file, bytes } : undefined),
  grant: ({ bytes }) => (isWhole(bytes) ? { type: 'grant', bytes } : undefined),
  root: ({ file, hash }) =>
    isId(file) && typeof hash === 'string' && /^[0-9a-f]{64}$/.test(hash)
      ? { type: 'root', file, hash }
      : undefined,
  hashing: ({ file, blocks }) =>
    isId(file) && isWhole(blocks, 2 ** 32) ? { type: 'hashing', file, blocks } : undefined,
  end: ({ of, files, reason, detail }) =>
    isOf(of) && isIds(files) && isReason(reason) && isText(detail, DETAIL_LENGTH_MAX)
      ? { type: 'end', of, files, reason, detail }
      : undefined,
  pause: ({ of, files, on, isMissing }) =>
    isOf(of) && isIds(files) && isFlag(on)
      ? { type: 'pause', of, files, on, ...(isMissing === true && { isMissing }) }
      : undefined,
  text: ({ id, text, more }) =>
    isWhole(id) && isText(text, TEXT_PIECE_LENGTH) && isFlag(more)
      ? { type: 'text', id, text, more }
      : undefined,
  got: ({ id, again }) => (isWhole(id) && isFlag(again) ? { type: 'got', id, again } : undefined),
}

function readOffer({ files }: Fields): Control | undefined {
  if (!Array.isArray(files) || files.length === 0 || files.length > OFFER_FILES_MAX) return undefined
  const read: OfferedFile[] = []
  for (const file of files) {
    const offered: OfferedFile | undefined = isObject(file) ? readFile(file) : undefined
    if (offered === undefined) return undefined
    read.push(offered)
  }
  return { type: 'offer', files: read }
}

function readFile({ id, path, size, type, modifiedAt }: Fields): OfferedFile | undefined {
  if (!isId(id) || !isText(path, PATH_LENGTH_MAX) || path === '') return undefined
  if (!isWhole(size, FILE_BYTES_MAX) || !isText(type, TYPE_LENGTH_MAX)) return undefined
  if (modifiedAt === undefined) return { id, path, size, type }
  // Times before 1970 are negative, and some systems give fractions of milliseconds.
  if (typeof modifiedAt !== 'number' || !Number.isFinite(modifiedAt)) return undefined
  return { id, path, size, type, modifiedAt }
}

function isRanges(value: unknown): value is BlockRange[] {
  return (
    Array.isArray(value) &&
    value.length <= RANGES_MAX &&
    value.every(
      (range) =>
        Array.isArray(range) &&
        range.length === 2 &&
        isId(range[0]) &&
        isWhole(range[1], 2 ** 32) &&
        range[1] > 0,
    )
  )
}

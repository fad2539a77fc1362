import { HASH_BYTES } from '../hash.js'

// The binary messages [FT3]. Numbers are unsigned and big-endian.

const PART = 1
const BLOCK_END = 2
/** Kind, file, block, offset. */
export const PART_HEAD_BYTES = 13
/** Kind, file, block. */
const END_HEAD_BYTES = 9

/** A piece of a block. */
export interface Part {
  kind: 'part'
  file: number
  block: number
  offset: number
  bytes: Uint8Array<ArrayBuffer>
}

/** The hash of a block. It may come before the parts of the block. */
export interface BlockEnd {
  kind: 'block-end'
  file: number
  block: number
  hash: Uint8Array<ArrayBuffer>
}

/** What was wrong with a message. */
export interface Malformed {
  kind: 'malformed'
  what: string
}

/** `into`: memory for the message. New memory for each part costs more time than the copy does. */
export function encodePart(
  file: number,
  block: number,
  offset: number,
  bytes: Uint8Array,
  into = new Uint8Array(PART_HEAD_BYTES + bytes.length),
): Uint8Array<ArrayBuffer> {
  const message = into.subarray(0, PART_HEAD_BYTES + bytes.length)
  const view = new DataView(message.buffer, message.byteOffset)
  view.setUint8(0, PART)
  view.setUint32(1, file)
  view.setUint32(5, block)
  view.setUint32(9, offset)
  message.set(bytes, PART_HEAD_BYTES)
  return message
}

export function encodeBlockEnd(file: number, block: number, hash: Uint8Array): Uint8Array<ArrayBuffer> {
  const message = new Uint8Array(END_HEAD_BYTES + HASH_BYTES)
  const view = new DataView(message.buffer)
  view.setUint8(0, BLOCK_END)
  view.setUint32(1, file)
  view.setUint32(5, block)
  message.set(hash, END_HEAD_BYTES)
  return message
}

export function decodeBinary(message: Uint8Array<ArrayBuffer>): Part | BlockEnd | Malformed {
  const view = new DataView(message.buffer, message.byteOffset, message.byteLength)
  const kind = message[0]
  if (kind === PART) {
    if (message.length <= PART_HEAD_BYTES) return { kind: 'malformed', what: 'a part without bytes' }
    const head = { file: view.getUint32(1), block: view.getUint32(5), offset: view.getUint32(9) }
    return { kind: 'part', ...head, bytes: message.subarray(PART_HEAD_BYTES) }
  }
  if (kind === BLOCK_END) {
    if (message.length !== END_HEAD_BYTES + HASH_BYTES)
      return { kind: 'malformed', what: 'a block end of a wrong length' }
    // A copy, because the hash is kept for longer than the message.
    const hash = message.slice(END_HEAD_BYTES)
    return { kind: 'block-end', file: view.getUint32(1), block: view.getUint32(5), hash }
  }
  return { kind: 'malformed', what: 'a binary message of an unknown kind' }
}

// The format of zip archives, APPNOTE 6.3: files are stored as they are, and their CRC-32 follows them.

/** A file of an archive. */
export interface ZipEntry {
  name: Uint8Array<ArrayBuffer>
  size: number
  crc: number
  /** Where its local header is. */
  offset: number
  modifiedAt: Date
}

/** Values from here on are written to the zip64 fields, and this one in place of them (4.4.1.4). */
const LIMIT_32 = 0xffff_ffff
const LIMIT_16 = 0xffff
/** Sizes follow the content (bit 3), and names are in UTF-8 (bit 11). */
const FLAGS = 0x0808
const VERSION_PLAIN = 20
const VERSION_ZIP64 = 45
const MADE_ON_UNIX = 3 << 8
/** A regular file that its owner can write and everybody can read. */
const MODE = 0o100644

export function localHeader(entry: ZipEntry): Uint8Array<ArrayBuffer> {
  // With the zip64 field, the sizes that follow the content have 8 bytes (4.3.9.2).
  const extra = isBig(entry) ? zip64Extra([0, 0]) : empty()
  return record(30, [entry.name, extra], (view) => {
    view.setUint32(0, 0x0403_4b50, true)
    view.setUint16(4, isBig(entry) ? VERSION_ZIP64 : VERSION_PLAIN, true)
    view.setUint16(6, FLAGS, true)
    setTime(view, 10, entry.modifiedAt)
    view.setUint16(26, entry.name.length, true)
    view.setUint16(28, extra.length, true)
  })
}

/** What follows the content. */
export function dataDescriptor(entry: ZipEntry): Uint8Array<ArrayBuffer> {
  const big = isBig(entry)
  return record(big ? 24 : 16, [], (view) => {
    view.setUint32(0, 0x0807_4b50, true)
    view.setUint32(4, entry.crc, true)
    for (const field of [0, 1])
      if (big) set64(view, 8 + 8 * field, entry.size)
      else view.setUint32(8 + 4 * field, entry.size, true)
  })
}

/** The directory, which comes last. Files that it does not name are not part of the archive. */
export function directory(entries: readonly ZipEntry[], offset: number): Uint8Array<ArrayBuffer> {
  const headers = entries.map(directoryHeader)
  const size = headers.reduce((sum, { length }) => sum + length, 0)
  const needsZip64 = entries.length >= LIMIT_16 || size >= LIMIT_32 || offset >= LIMIT_32
  const end = record(22, [], (view) => {
    view.setUint32(0, 0x0605_4b50, true)
    view.setUint16(8, Math.min(entries.length, LIMIT_16), true)
    view.setUint16(10, Math.min(entries.length, LIMIT_16), true)
    view.setUint32(12, Math.min(size, LIMIT_32), true)
    view.setUint32(16, Math.min(offset, LIMIT_32), true)
  })
  return joined([...headers, ...(needsZip64 ? [zip64End(entries.length, size, offset)] : []), end])
}

function directoryHeader(entry: ZipEntry): Uint8Array<ArrayBuffer> {
  const { name, size, crc, offset, modifiedAt } = entry
  const big = [...(isBig(entry) ? [size, size] : []), ...(offset >= LIMIT_32 ? [offset] : [])]
  const extra = big.length === 0 ? empty() : zip64Extra(big)
  return record(46, [name, extra], (view) => {
    const version = big.length === 0 ? VERSION_PLAIN : VERSION_ZIP64
    view.setUint32(0, 0x0201_4b50, true)
    view.setUint16(4, MADE_ON_UNIX | version, true)
    view.setUint16(6, version, true)
    view.setUint16(8, FLAGS, true)
    setTime(view, 12, modifiedAt)
    view.setUint32(16, crc, true)
    view.setUint32(20, Math.min(size, LIMIT_32), true)
    view.setUint32(24, Math.min(size, LIMIT_32), true)
    view.setUint16(28, name.length, true)
    view.setUint16(30, extra.length, true)
    view.setUint16(40, MODE, true)
    view.setUint32(42, Math.min(offset, LIMIT_32), true)
  })
}

function zip64Extra(values: readonly number[]): Uint8Array<ArrayBuffer> {
  return record(4 + 8 * values.length, [], (view) => {
    view.setUint16(0, 1, true)
    view.setUint16(2, 8 * values.length, true)
    values.forEach((value, index) => set64(view, 4 + 8 * index, value))
  })
}

/** The end of the directory in zip64, and where it is (4.3.14 and 4.3.15). */
function zip64End(count: number, size: number, offset: number): Uint8Array<ArrayBuffer> {
  return record(76, [], (view) => {
    view.setUint32(0, 0x0606_4b50, true)
    set64(view, 4, 44)
    view.setUint16(12, MADE_ON_UNIX | VERSION_ZIP64, true)
    view.setUint16(14, VERSION_ZIP64, true)
    set64(view, 24, count)
    set64(view, 32, count)
    set64(view, 40, size)
    set64(view, 48, offset)
    view.setUint32(56, 0x0706_4b50, true)
    set64(view, 64, offset + size)
    view.setUint32(72, 1, true)
  })
}

const isBig = ({ size }: ZipEntry): boolean => size >= LIMIT_32

/** Two seconds exactly, in local time, from 1980 to 2107 (4.4.6). */
function setTime(view: DataView, at: number, time: Date): void {
  const year = Math.min(Math.max(time.getFullYear(), 1980), 2107)
  view.setUint16(at, (time.getHours() << 11) | (time.getMinutes() << 5) | (time.getSeconds() >> 1), true)
  view.setUint16(at + 2, ((year - 1980) << 9) | ((time.getMonth() + 1) << 5) | time.getDate(), true)
}

function set64(view: DataView, at: number, value: number): void {
  view.setBigUint64(at, BigInt(value), true)
}

function record(
  length: number,
  rest: readonly Uint8Array<ArrayBuffer>[],
  fill: (view: DataView) => void,
): Uint8Array<ArrayBuffer> {
  const fixed = new Uint8Array(length)
  fill(new DataView(fixed.buffer))
  return joined([fixed, ...rest])
}

function joined(parts: readonly Uint8Array<ArrayBuffer>[]): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0))
  let at = 0
  for (const part of parts) {
    all.set(part, at)
    at += part.length
  }
  return all
}

const empty = (): Uint8Array<ArrayBuffer> => new Uint8Array()

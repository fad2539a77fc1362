// Where a received file may go. The path comes from a stranger, and becomes names in a folder of this device.

/** The longest name of a file or folder in bytes of UTF-8: 255 less the 13 of `.part.journal`, and a few to spare. */
export const NAME_BYTES_MAX = 240
/** The most folders and names in one path. */
export const DEPTH_MAX = 64

/** The names of a path, from the outermost folder to the file. */
export type Segments = readonly [string, ...string[]]

/** A path that stays inside the folder it is used in, or why there is none. `why` completes "the name …". */
export type SafePath = { ok: true; segments: Segments } | { ok: false; why: string }

/** Characters that change the direction of the text around them, so that `gpj.exe` can look like `exe.jpg`. */
const DIRECTIONS = /[\u061C\u200E\u200F\u202A-\u202E\u2066-\u2069]/gu
/** What Windows forbids in names, control characters, line ends of Unicode, and halves of surrogate pairs. */
const FORBIDDEN = /[<>:"|?*\\\p{Cc}\p{Cs}\u2028\u2029]/gu
/** Names of devices in Windows, whatever their extension. It takes superscript digits for digits. */
const DEVICES = /^(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9¹²³]) *(?:\.|$)/iu
const EXTENSION_BYTES_MAX = 32

/**
 * Makes a path of a stranger safe for a folder on any system. A path that would leave the folder is refused. Names that
 * some system cannot hold are changed: forbidden characters become `_`, names of devices get a `_`, dots and spaces at
 * the end are removed, and long names are cut before their extension.
 *
 * @example
 * safePath('photos/a:b.jpg') // { ok: true, segments: ['photos', 'a_b.jpg'] }
 * safePath('../../.ssh/authorized_keys') // { ok: false, why: 'leads out of the folder' }
 */
export function safePath(path: string): SafePath {
  if (path === '') return refused('is empty')
  if (/^[/\\]/.test(path)) return refused('begins at the root of a disk')
  if (/^[a-z]:[/\\]/i.test(path)) return refused('begins with the letter of a drive')
  if (path.split(/[/\\]/).includes('..')) return refused('leads out of the folder')
  const names = path.split('/')
  if (names.length > DEPTH_MAX) return refused(`has more than ${DEPTH_MAX} folders`)
  const [first = '', ...others] = names.map(safeName)
  if (first === '' || others.includes('')) return refused('has an empty part')
  return { ok: true, segments: [first, ...others] }
}

/**
 * Makes paths safe, and different from each other. Of two equal paths the second gets ` (2)`. Small and capital letters
 * count as equal, because they are on many systems. No file gets the path of a folder.
 *
 * @returns One result for each path, in the same order.
 *
 * @example
 * uniquePaths(['a.txt', 'A.txt']) // segments: ['a.txt'], then ['A (2).txt']
 */
export function uniquePaths(paths: readonly string[]): SafePath[] {
  const safe = paths.map(safePath)
  const taken = new Set<string>()
  for (const path of safe)
    if (path.ok)
      for (let length = 1; length < path.segments.length; length++)
        taken.add(pathKey(path.segments.slice(0, length)))
  /** The next number of each path, so that many equal paths take no more time than as many different ones. */
  const next = new Map<string, number>()
  return safe.map((path) => {
    if (!path.ok) return path
    const plain = pathKey(path.segments)
    let number = next.get(plain) ?? 1
    let { segments } = path
    while (taken.has(pathKey(segments))) segments = numbered(path.segments, ++number)
    next.set(plain, number)
    taken.add(pathKey(segments))
    return { ok: true, segments }
  })
}

/** The path with ` (number)` before the extension of its file. For 1 it is the path itself. */
export function numbered(segments: Segments, number: number): Segments {
  if (number <= 1) return segments
  const file = segments[segments.length - 1] ?? ''
  const [stem, extension] = splitExtension(file)
  const suffix = ` (${number})${extension}`
  const name = cutTo(stem, NAME_BYTES_MAX - bytesOf(suffix)) + suffix
  const [first, ...others] = [...segments.slice(0, -1), name]
  return [first ?? name, ...others]
}

/** Equal for paths that are one path on some system. */
export const pathKey = (segments: readonly string[]): string =>
  segments.join('/').normalize('NFC').toLowerCase().normalize('NFC')

const refused = (why: string): SafePath => ({ ok: false, why })

/** Empty: the name has nothing in it, or it is `.`. */
function safeName(name: string): string {
  const shown = name.normalize('NFC').replace(DIRECTIONS, '')
  if (shown === '' || shown === '.') return ''
  const allowed = withoutEnd(shown.replace(FORBIDDEN, '_'))
  // A name of only dots and spaces.
  if (allowed === '') return '_'
  return shorten(DEVICES.test(allowed) ? `_${allowed}` : allowed)
}

function shorten(name: string): string {
  if (bytesOf(name) <= NAME_BYTES_MAX) return name
  const [stem, extension] = splitExtension(name)
  return cutTo(stem, NAME_BYTES_MAX - bytesOf(extension)) + extension
}

/** Windows drops dots and spaces at the end of a name, so that two names would be one. */
function withoutEnd(name: string): string {
  let end = name.length
  while (end > 0 && (name[end - 1] === '.' || name[end - 1] === ' ')) end--
  return name.slice(0, end)
}

/** `archive.tar.gz` has the extension `.tar.gz`. A dot at the beginning of a name begins no extension. */
function splitExtension(name: string): [stem: string, extension: string] {
  const [extension = ''] = /(?<=.)(?:\.tar)?\.[^. ]+$/su.exec(name.slice(-EXTENSION_BYTES_MAX)) ?? []
  const stem = name.slice(0, name.length - extension.length)
  return stem === '' || bytesOf(extension) > EXTENSION_BYTES_MAX ? [name, ''] : [stem, extension]
}

/** Cuts between two characters. */
function cutTo(text: string, bytesMax: number): string {
  let bytes = 0
  let kept = ''
  for (const character of text) {
    bytes += bytesOf(character)
    if (bytes > bytesMax) break
    kept += character
  }
  return withoutEnd(kept)
}

const encoder = new TextEncoder()
const bytesOf = (text: string): number => encoder.encode(text).length

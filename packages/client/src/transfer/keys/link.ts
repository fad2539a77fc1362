import { parseName } from '@peerage/protocol'
import type { Name } from '@peerage/protocol'
import { fromBase64, toBase64Url } from '../../lib/base64.js'
import { concat, systemRandom } from './bytes.js'
import type { Bytes, Random } from './bytes.js'
import { KEY_HASH_BYTES } from './key-pair.js'

export const LINK_SECRET_BYTES = 16
/** 33 bytes as base64url, which needs no padding. */
const FRAGMENT_CHARACTERS = 44
const VERSION = 1
/** No link is longer. It bounds what the reader spends on a text that somebody pastes. */
const TEXT_CHARACTERS_MAX = 4_096
const NEEDS_PASSWORD = 1

/** What the fragment of a link holds. Browsers send no fragment to a server. */
export interface LinkKey {
  /** Whether a guest also needs a password. */
  needsPassword: boolean
  /** 16 bytes, which only the host and those who have the link know. */
  secret: Bytes
  /** 16 bytes: `hashOfKey` of the host's public key. */
  keyHash: Bytes
}

/** What is wrong with a fragment. */
export type FragmentMistake =
  /** There is none: the link ends before `#`, or with it. */
  | 'missing'
  /** Its end is missing. */
  | 'cut-short'
  /** Something follows it. */
  | 'too-long'
  /** It has characters that a fragment never has. */
  | 'bad-characters'
  /** It was made by another version. */
  | 'other-version'

/** What a fragment holds, or what is wrong with it. */
export type ParsedFragment = { ok: true; key: LinkKey } | { ok: false; why: FragmentMistake }

/** A link, as its parts. */
export interface Link {
  /** The URL of the page, such as `https://peers.example/`. Undefined if the text has none. */
  base: string | undefined
  /** The name of the host. */
  name: Name
  /** What follows `#`, without it. */
  fragment: string
  /** What the fragment holds. */
  key: LinkKey
}

/** What a text that may be a link holds, or what is wrong with it. */
export type ParsedLink =
  | { ok: true; link: Link }
  /** It has no `peer_id`. */
  | { ok: false; why: 'not-a-link' }
  /** Its `peer_id` is empty or no name. `problem` says what is wrong with the name. */
  | { ok: false; why: 'bad-name'; problem: string }
  | { ok: false; why: FragmentMistake }

export function createLinkSecret(random: Random = systemRandom): Bytes {
  return random(LINK_SECRET_BYTES)
}

/** The fragment, without `#`: 44 characters. */
export function fragmentOf({ needsPassword, secret, keyHash }: LinkKey): string {
  const first = (VERSION << 4) | (needsPassword ? NEEDS_PASSWORD : 0)
  return toBase64Url(concat(Uint8Array.of(first), secret, keyHash))
}

/** Reads a fragment, with or without `#`. */
export function parseFragment(text: string): ParsedFragment {
  if (text.length > TEXT_CHARACTERS_MAX) return { ok: false, why: 'too-long' }
  // People copy a link with the end of the sentence.
  const fragment = text
    .trim()
    .replace(/^#/, '')
    .replace(/[\s.,;:!?)\]>"'*]+$/, '')
  if (fragment === '') return { ok: false, why: 'missing' }
  if (!/^[\w-]+$/.test(fragment)) return { ok: false, why: 'bad-characters' }
  if (fragment.length < FRAGMENT_CHARACTERS) return { ok: false, why: 'cut-short' }
  const bytes = fromBase64(fragment.slice(0, FRAGMENT_CHARACTERS).replaceAll('-', '+').replaceAll('_', '/'))
  const first = bytes[0] ?? 0
  if (first >> 4 !== VERSION || (first & 15) > NEEDS_PASSWORD) return { ok: false, why: 'other-version' }
  if (fragment.length > FRAGMENT_CHARACTERS) return { ok: false, why: 'too-long' }
  const keyAt = 1 + LINK_SECRET_BYTES
  const key = {
    needsPassword: (first & NEEDS_PASSWORD) !== 0,
    secret: bytes.slice(1, keyAt),
    keyHash: bytes.slice(keyAt, keyAt + KEY_HASH_BYTES),
  }
  return { ok: true, key }
}

/**
 * The link for guests.
 *
 * @param base the URL of the page; its query and fragment are dropped
 * @throws TypeError if `base` is no URL
 * @example
 * linkOf('https://peers.example/', peer.name, fragmentOf(key)) // 'https://peers.example/?peer_id=ann#EK0…'
 */
export function linkOf(base: string, name: Name, fragment: string): string {
  const { origin, pathname } = new URL(base)
  return `${origin}${pathname}?peer_id=${encodeURIComponent(name)}#${fragment}`
}

/** Reads a link: a whole URL, or its end from `?peer_id=` on. Text around it is not allowed, white space is. */
export function parseLink(text: string): ParsedLink {
  if (text.length > TEXT_CHARACTERS_MAX) return { ok: false, why: 'not-a-link' }
  const [, before = '', query = '', fragment = ''] = /^([^?#]*)\??([^#]*)(.*)$/s.exec(text.trim()) ?? []
  // Without `?`, the text may begin with `peer_id=`.
  const id = new URLSearchParams(query === '' ? before : query).get('peer_id')
  if (id === null) return { ok: false, why: 'not-a-link' }
  const name = parseName(id)
  if (!name.ok) return { ok: false, why: 'bad-name', problem: name.problem }
  const parsed = parseFragment(fragment)
  if (!parsed.ok) return parsed
  const { key } = parsed
  return { ok: true, link: { base: baseOf(before), name: name.value, fragment: fragmentOf(key), key } }
}

function baseOf(text: string): string | undefined {
  const [, base] = /^(https?:\/\/[^/\s]+(?:\/\S*)?)$/i.exec(text) ?? []
  return base
}

import { parseName } from '@peerage/protocol'
import type { Name } from '@peerage/protocol'
import { parseFragment } from '../keys/link.js'
import type { LinkKey } from '../keys/link.js'

// What the host of a code tells the guest that has proven to know the words: where it goes on. At most 512 bytes.

export function encodeDestination({
  name,
  fragment,
}: {
  name: Name
  fragment: string
}): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(`${fragment} ${name}`)
}

/** Undefined: it is malformed. */
export function decodeDestination(
  bytes: Uint8Array,
): { name: Name; fragment: string; key: LinkKey } | undefined {
  const [, fragment = '', rest] = /^(\S+) (.*)$/s.exec(new TextDecoder().decode(bytes)) ?? []
  const name = parseName(rest)
  const parsed = parseFragment(fragment)
  return name.ok && parsed.ok ? { name: name.value, fragment, key: parsed.key } : undefined
}

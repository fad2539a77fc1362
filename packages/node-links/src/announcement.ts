import { parseHostPort } from '@peerage/protocol'

/** How the other side of a link shows that it is the node that it says it is. */
export type Proof =
  /** SHA-256 of its certificate (DER), 64 hexadecimal digits in lower case. */
  | { type: 'certificate'; sha256: string }
  /** A random word in base64url that whoever connects to it must know. Without TLS. */
  | { type: 'token'; token: string }

/** What a node tells the others about its end of a link. */
export interface Announcement {
  /** Where it listens: a name or an address, without brackets. */
  address: { host: string; port: number }
  proof: Proof
}

/** Of the announced text. The longest host has 253 characters, and the proof at most 134. */
export const ANNOUNCEMENT_LENGTH = 512

const ANNOUNCEMENT_VERSION = 1
const CERTIFICATE_PATTERN = /^sha256:([\da-f]{64})$/
/** 128 bits at least: nobody guesses it. */
const TOKEN_PATTERN = /^token:([\w-]{22,128})$/

/** The text that `Nodes.announce` takes; `parseAnnouncement` reads it. */
export function encodeAnnouncement({ address, proof }: Announcement): string {
  const said = proof.type === 'certificate' ? `sha256:${proof.sha256}` : `token:${proof.token}`
  return JSON.stringify({ v: ANNOUNCEMENT_VERSION, address: formatAddress(address), proof: said })
}

/** `host:port`, with an IPv6 address in brackets. */
export function formatAddress({ host, port }: Announcement['address']): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

/** Undefined for what is no announcement of this version. Whoever may write to the store may have written it. */
export function parseAnnouncement(text: string): Announcement | undefined {
  if (text.length > ANNOUNCEMENT_LENGTH) return undefined
  const fields = parseObject(text)
  if (fields?.['v'] !== ANNOUNCEMENT_VERSION) return undefined
  const address = parseHostPort(fields['address'])
  const proof = parseProof(fields['proof'])
  return address === undefined || proof === undefined ? undefined : { address, proof }
}

function parseObject(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? { ...value } : undefined
  } catch {
    return undefined // no JSON
  }
}

function parseProof(input: unknown): Proof | undefined {
  if (typeof input !== 'string') return undefined
  const sha256 = CERTIFICATE_PATTERN.exec(input)?.[1]
  if (sha256 !== undefined) return { type: 'certificate', sha256 }
  const token = TOKEN_PATTERN.exec(input)?.[1]
  return token === undefined ? undefined : { type: 'token', token }
}

import { formatHostPort, parseHostPort } from '@peerage/protocol'

/** How the other side of a link proves that it is the node that it names. */
export type Proof =
  /** SHA-256 of its certificate (DER), 64 hexadecimal digits in lower case. */
  | { type: 'certificate'; sha256: string }
  /** Without TLS: random characters of base64url that the other side must know to connect. */
  | { type: 'token'; token: string }

/** What a node tells the other nodes, so that they can link to it. */
export interface Announcement {
  /** Where it listens. The host is a name or an address, without brackets. */
  address: { host: string; port: number }
  proof: Proof
}

/** The limit of the announced text. The longest host has 253 characters, and the proof at most 134. */
export const ANNOUNCEMENT_LENGTH = 512

const ANNOUNCEMENT_VERSION = 1
const CERTIFICATE_PATTERN = /^sha256:([\da-f]{64})$/
/** At least 128 bits, so that nobody can guess it. */
const TOKEN_PATTERN = /^token:([\w-]{22,128})$/

/** The text for `Nodes.announce`. `parseAnnouncement` reads it. */
export function encodeAnnouncement({ address, proof }: Announcement): string {
  const said = proof.type === 'certificate' ? `sha256:${proof.sha256}` : `token:${proof.token}`
  return JSON.stringify({ v: ANNOUNCEMENT_VERSION, address: formatHostPort(address), proof: said })
}

/** Undefined for anything except an announcement of this version. Anyone who can write to the store may have written it. */
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
    return undefined // not JSON
  }
}

function parseProof(input: unknown): Proof | undefined {
  if (typeof input !== 'string') return undefined
  const sha256 = CERTIFICATE_PATTERN.exec(input)?.[1]
  if (sha256 !== undefined) return { type: 'certificate', sha256 }
  const token = TOKEN_PATTERN.exec(input)?.[1]
  return token === undefined ? undefined : { type: 'token', token }
}

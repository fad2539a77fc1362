import type { Name } from '@peerage/protocol'
import { fromBase64, toBase64Url } from '../../lib/base64.js'
import { createKeyPair, exportKeyPair, importKeyPair } from '../keys/key-pair.js'
import type { KeyPair } from '../keys/key-pair.js'
import { createLinkSecret, LINK_SECRET_BYTES } from '../keys/link.js'
import type { FileInfo, OfferedFile } from '../types.js'

/** What a host keeps over a reload, so that its link still works. */
export interface SavedShare {
  name: Name
  secret: Uint8Array<ArrayBuffer>
  /** Of the link that the guests of codes get. */
  codeLinkSecret: Uint8Array<ArrayBuffer>
  keyPair: KeyPair
  files: OfferedFile[]
  nextId: number
  /** Of `passwordSecret`: not the password itself. */
  password: bigint | undefined
  wrongPasswords: number
  isOneTime: boolean
  /** The ticket of the guest that has taken the share. */
  takenBy: string | undefined
  expiresAt: number | undefined
}

const VERSION = 1
const FILES_MAX = 10_000

export function newShare(name: Name): SavedShare {
  return {
    name,
    secret: createLinkSecret(),
    codeLinkSecret: createLinkSecret(),
    keyPair: createKeyPair(),
    files: [],
    nextId: 0,
    password: undefined,
    wrongPasswords: 0,
    isOneTime: false,
    takenBy: undefined,
    expiresAt: undefined,
  }
}

/** After a reload, a file counts as the same one by these. Its content is checked while it is sent. */
export const isSame = (a: FileInfo, b: FileInfo): boolean =>
  a.path === b.path && a.size === b.size && a.modifiedAt === b.modifiedAt

export function encodeSaved({ keyPair, secret, codeLinkSecret, password, ...rest }: SavedShare): string {
  return JSON.stringify({
    version: VERSION,
    ...rest,
    secret: toBase64Url(secret),
    codeLink: toBase64Url(codeLinkSecret),
    key: exportKeyPair(keyPair),
    password: password?.toString(16),
  })
}

/** Undefined: it is unreadable, of another version, or for another name. */
export function decodeSaved(text: string, name: Name): SavedShare | undefined {
  const fields = fieldsOf(text)
  const secret = secretOf(fields['secret'])
  const codeLinkSecret = secretOf(fields['codeLink'])
  const keyPair = importKeyPair(String(fields['key']))
  const files = filesOf(fields['files'])
  const password = passwordOf(fields['password'])
  const { version, nextId, wrongPasswords, isOneTime, takenBy, expiresAt } = fields
  if (version !== VERSION || fields['name'] !== name || secret === undefined || keyPair === undefined)
    return undefined
  if (
    files === undefined ||
    codeLinkSecret === undefined ||
    password === null ||
    !isCount(nextId) ||
    !isCount(wrongPasswords)
  )
    return undefined
  return {
    name,
    secret,
    codeLinkSecret,
    keyPair,
    files,
    nextId: Math.max(nextId, ...files.map(({ id }) => id + 1)),
    password,
    wrongPasswords,
    isOneTime: isOneTime === true,
    takenBy: typeof takenBy === 'string' ? takenBy : undefined,
    expiresAt: isCount(expiresAt) ? expiresAt : undefined,
  }
}

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && Number(value) >= 0

function secretOf(value: unknown): Uint8Array<ArrayBuffer> | undefined {
  if (typeof value !== 'string' || !/^[\w-]{22}$/.test(value)) return undefined
  const bytes = fromBase64(value.replaceAll('-', '+').replaceAll('_', '/'))
  return bytes.length === LINK_SECRET_BYTES ? bytes : undefined
}

/** Null: it is not a secret of a password. */
function passwordOf(value: unknown): bigint | undefined | null {
  if (value === undefined) return undefined
  return typeof value === 'string' && /^[0-9a-f]{1,64}$/.test(value) ? BigInt(`0x${value}`) : null
}

function filesOf(value: unknown): OfferedFile[] | undefined {
  if (!Array.isArray(value) || value.length > FILES_MAX) return undefined
  const files = value.map(fileOf)
  return files.includes(undefined) ? undefined : files.filter((file) => file !== undefined)
}

function fileOf(value: unknown): OfferedFile | undefined {
  const { id, path, size, type, modifiedAt }: Record<string, unknown> =
    typeof value === 'object' && value !== null ? { ...value } : {}
  if (!isCount(id) || !isCount(size) || typeof path !== 'string' || typeof type !== 'string') return undefined
  return { id, path, size, type, ...(typeof modifiedAt === 'number' && { modifiedAt }) }
}

function fieldsOf(text: string): Record<string, unknown> {
  try {
    const parsed: unknown = JSON.parse(text)
    return typeof parsed === 'object' && parsed !== null ? { ...parsed } : {}
  } catch {
    return {}
  }
}

/**
 * The text messages of a channel, as JSON. The binary messages between `file` and `end` are the content of the file.
 * Each side numbers the files that it sends. The other side answers each file with `received` or `refused`.
 */
export type Note =
  | { type: 'text'; text: string }
  | { type: 'file'; id: number; name: string; size: number; mime: string }
  | { type: 'end'; id: number; sha256: string | undefined }
  /** The sender gives up sending the file. */
  | { type: 'abort'; id: number; why: string }
  /** The recipient has the whole file, and has checked it. */
  | { type: 'received'; id: number }
  /** The recipient does not keep the file. */
  | { type: 'refused'; id: number; why: string }

const NAME_MAX_LENGTH = 255
/** Room for one sentence. */
const WHY_MAX_LENGTH = 200
const SHA256_PATTERN = /^[\da-f]{64}$/

export function writeNote(note: Note): string {
  return JSON.stringify(note)
}

/** Returns undefined for a text that is not a note. */
export function readNote(text: string): Note | undefined {
  let input: unknown
  try {
    input = JSON.parse(text)
  } catch {
    return undefined
  }
  if (typeof input !== 'object' || input === null) return undefined
  const fields = new Map<string, unknown>(Object.entries(input))
  const [type, said, id] = ['type', 'text', 'id'].map((key) => fields.get(key))
  if (type === 'text') return typeof said === 'string' ? { type, text: said } : undefined
  return isNatural(id) ? readFileNote(id, fields) : undefined
}

function readFileNote(id: number, fields: ReadonlyMap<string, unknown>): Note | undefined {
  const type = fields.get('type')
  switch (type) {
    case 'file': {
      const [name, size, mime] = ['name', 'size', 'mime'].map((key) => fields.get(key))
      if (typeof name !== 'string' || !isNatural(size)) return undefined
      return {
        type,
        id,
        name: name.slice(0, NAME_MAX_LENGTH),
        size,
        mime: typeof mime === 'string' ? mime : '',
      }
    }
    case 'end': {
      const sha256 = fields.get('sha256')
      return {
        type,
        id,
        sha256: typeof sha256 === 'string' && SHA256_PATTERN.test(sha256) ? sha256 : undefined,
      }
    }
    case 'received':
      return { type, id }
    case 'abort':
    case 'refused': {
      const why = fields.get('why')
      return { type, id, why: typeof why === 'string' ? why.slice(0, WHY_MAX_LENGTH) : 'no reason was given' }
    }
    default:
      return undefined
  }
}

function isNatural(input: unknown): input is number {
  return typeof input === 'number' && Number.isSafeInteger(input) && input >= 0
}

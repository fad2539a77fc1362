/** What goes as text over the channel; binary messages between `file` and `end` are the file. */
export type Note =
  | { type: 'text'; text: string }
  | { type: 'file'; name: string; size: number; mime: string }
  | { type: 'end'; sha256: string | undefined }

const NAME_MAX_LENGTH = 255
const SHA256_PATTERN = /^[\da-f]{64}$/

export function writeNote(note: Note): string {
  return JSON.stringify(note)
}

/** Undefined: the other side speaks something else. */
export function readNote(text: string): Note | undefined {
  let input: unknown
  try {
    input = JSON.parse(text)
  } catch {
    return undefined
  }
  if (typeof input !== 'object' || input === null || !('type' in input)) return undefined
  const read = (key: string): unknown => Object.entries(input).find(([name]) => name === key)?.[1]
  const [content, name, size, mime, sha256] = ['text', 'name', 'size', 'mime', 'sha256'].map(read)
  if (input.type === 'text' && typeof content === 'string') return { type: 'text', text: content }
  if (
    input.type === 'file' &&
    typeof name === 'string' &&
    typeof size === 'number' &&
    Number.isSafeInteger(size)
  ) {
    if (size < 0) return undefined
    return {
      type: 'file',
      name: name.slice(0, NAME_MAX_LENGTH),
      size,
      mime: typeof mime === 'string' ? mime : '',
    }
  }
  if (input.type !== 'end') return undefined
  return {
    type: 'end',
    sha256: typeof sha256 === 'string' && SHA256_PATTERN.test(sha256) ? sha256 : undefined,
  }
}

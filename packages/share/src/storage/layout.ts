import { digest } from './digest.js'

// Where received files are in the browser's own storage: a folder for each share, in it ID.data and ID.journal.

export const ROOT = 'peerage-received'
export const JOURNAL_ENDING = '.journal'

export const dataName = (id: number): string => `${id}.data`
export const journalName = (id: number): string => `${id}${JOURNAL_ENDING}`

/** The folder of a share. It is a hash, because a share can have any name. */
export async function folderOf(share: string): Promise<string> {
  const hash = await digest(new TextEncoder().encode(share))
  return Array.from(hash.subarray(0, 16), (byte) => byte.toString(16).padStart(2, '0')).join('')
}

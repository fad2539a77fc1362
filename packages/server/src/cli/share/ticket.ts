import { createHash } from 'node:crypto'
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { reasonOf } from '../../lib/reason.js'

/**
 * The ticket of a share for one receiver, kept beside the files until they have arrived. With it, this receiver comes
 * back after it was killed.
 */
export interface TicketFile {
  read(): Promise<string | undefined>
  /** Writes it once. Whoever has the ticket and the link is this receiver, so only this user can read it. */
  write(ticket: string): Promise<void>
  remove(): Promise<void>
}

/** A ticket is some dozens of characters. */
const TICKET_CHARACTERS_MAX = 1_000

export function ticketFile(folder: string, link: string, warn: (message: string) => void): TicketFile {
  const id = createHash('sha256').update(link).digest('hex').slice(0, 16)
  const path = join(folder, `.peerage-ticket-${id}`)
  let written: string | undefined
  return {
    async read() {
      const text = await readFile(path, 'utf8').catch(() => undefined)
      written = text !== undefined && text.length <= TICKET_CHARACTERS_MAX ? text : undefined
      return written
    },
    async write(ticket) {
      if (ticket === written) return
      written = ticket
      try {
        await mkdir(folder, { recursive: true })
        await rm(path, { force: true })
        await writeFile(path, ticket, { flag: 'wx', mode: 0o600 })
      } catch (error) {
        warn(`A restart could not go on with this share: ${reasonOf(error)}`)
      }
    },
    remove: () => rm(path, { force: true }).catch((error: unknown) => warn(reasonOf(error))),
  }
}

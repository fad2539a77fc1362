import type { Child } from '@peerage/test-support/process.js'
import type { Testbed } from './testbed.js'

/** Whatever a terminal waits for, on a busy machine. */
const WITHIN_MS = 60_000

/** One line of `--json`. */
export type Told = Readonly<Record<string, unknown>>

/** `peerage send --json`, once it has a link. */
export async function send(
  bed: Pick<Testbed, 'peerage'>,
  args: readonly string[],
): Promise<{ sender: Child; link: string }> {
  const sender = await bed.peerage(['send', '--json', ...args])
  const { link } = await eventOf(sender, 'share')
  return { sender, link: String(link) }
}

export const receive = (bed: Pick<Testbed, 'peerage'>, args: readonly string[]): Promise<Child> =>
  bed.peerage(['receive', '--json', '--yes', ...args])

/** The first event of this kind, told already or later. */
export const eventOf = (
  child: Child,
  event: string,
  matches: (told: Told) => boolean = () => true,
): Promise<Told> =>
  child.line((line) => {
    const told = read(line)
    return told?.['event'] === event && matches(told) ? told : undefined
  }, WITHIN_MS)

/** All events so far. */
export const eventsOf = (child: Child): Told[] => child.lines.map(read).filter((told) => told !== undefined)

const read = (line: string): Told | undefined =>
  line.startsWith('{') ? (JSON.parse(line) as Told) : undefined

import type { ShareSession } from '@peerage/client/transfer'
import type { Surroundings } from '../surroundings.js'
import type { Tell } from './events.js'
import { createPrinter } from './printer.js'
import { createScreen } from './screen.js'

/** How a command tells what happens: to people, or as JSON lines. */
export interface Output {
  tell: Tell
  draw: (sessions: readonly ShareSession[]) => void
  /** Prints to people alone. */
  say: (line: string) => void
  /** Prints to standard output for people: links, codes and texts. */
  out: (line: string) => void
}

export function createOutput(
  { out, streams }: Pick<Surroundings, 'out' | 'streams'>,
  isJson: boolean,
  command: 'send' | 'receive',
): Output {
  if (isJson)
    return { tell: (event) => out(JSON.stringify(event)), draw: () => {}, say: () => {}, out: () => {} }
  const screen = createScreen(streams.stderr)
  /** Live lines of standard error must not be in the way. */
  const print = (line: string): void => {
    screen.live([])
    out(line)
  }
  const { tell, draw } = createPrinter({ screen, command, out: print, now: () => performance.now() })
  return { tell, draw, say: (line) => screen.print(line), out: print }
}

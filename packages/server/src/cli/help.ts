import type { Command, Help } from 'commander'
import type { Leaf } from '../config/settings.js'

// The layout of help: a maximum width, a long flag on a line of its own, and flags in groups.

/** Longer lines are hard to read, however wide the terminal is. */
const WIDTH_MOST = 100
/** The width if there is no terminal. */
const WIDTH_DEFAULT = 80
/** The column at which descriptions begin. */
const DESCRIPTION_COLUMN = 28
const INDENT = 2
const GAP = 2

export const widthOfHelp = (columns: number | undefined): number =>
  Math.min(columns ?? WIDTH_DEFAULT, WIDTH_MOST)

/** For `Command.configureHelp`: its commands inherit it. */
export const helpLayout: Partial<Help> = {
  subcommandTerm: (command) => command.name(),
  formatItem(term, _termWidth, description, helper) {
    const indent = ' '.repeat(INDENT)
    if (description === '') return `${indent}${term}`
    const width = (helper.helpWidth ?? WIDTH_DEFAULT) - DESCRIPTION_COLUMN
    const below = `\n${' '.repeat(DESCRIPTION_COLUMN)}`
    const text = helper.boxWrap(description, width).replaceAll('\n', below)
    const isLong = INDENT + term.length + GAP > DESCRIPTION_COLUMN
    return isLong
      ? `${indent}${term}${below}${text}`
      : `${indent}${term.padEnd(DESCRIPTION_COLUMN - INDENT)}${text}`
  },
}

/** The groups of settings in the order of the help, with the paths that begin like this. */
const GROUPS: readonly (readonly [heading: string, paths: RegExp])[] = [
  ['Network:', /^(?:host|port|path|trustedProxies)$|^(?:tls|rate|tcp)\./],
  ['Who may come in:', /^(?:open|origins|defaultApp|taken)$|^access\./],
  ['Redis:', /^redis\./],
  ['Links between nodes:', /^links\./],
  ['P2P and TURN:', /^p2p\./],
  ['Relay through the server:', /^relay\./],
  ['PeerJS clients:', /^peerjs\./],
  ['Other clients:', /^(?:yWebrtc|webtorrent|trystero|matchbox)\./],
  ['API for application servers:', /^api\./],
  ['Limits:', /^limits\./],
  ['Times:', /^times\./],
]
const OTHER_GROUP = 'Operation:'

/** The heading above the flag of a setting. */
export function groupOf({ path }: Pick<Leaf, 'path'>): string {
  return GROUPS.find(([, paths]) => paths.test(path))?.[0] ?? OTHER_GROUP
}

/** Puts options into the order of the groups. */
export function inGroups<T extends Pick<Leaf, 'path'>>(leaves: readonly T[]): T[] {
  const headings = [...GROUPS.map(([heading]) => heading), OTHER_GROUP]
  return headings.flatMap((heading) => leaves.filter((leaf) => groupOf(leaf) === heading))
}

/** Adds examples to the end of the help of a command. Each is a command line and what it does. */
export function addExamples(
  command: Command,
  examples: readonly (readonly [line: string, about: string])[],
): void {
  const lines = examples.map(([line, about]) => `  # ${about}\n  ${line}`)
  command.addHelpText('after', `\n${examples.length === 1 ? 'Example' : 'Examples'}:\n${lines.join('\n')}`)
}

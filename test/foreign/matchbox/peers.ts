import { REPOSITORY } from '@peerage/test-support/node.js'
import { run, startChild, type Child } from '@peerage/test-support/process.js'
import { locate } from '@peerage/test-support/binary.js'

const PROGRAM = `${REPOSITORY}test/foreign/matchbox`
/** Some 300 crates. */
const BUILD_DEADLINE_MS = 1_200_000
const DEADLINE_MS = 20_000

/** What the program prints about itself, one JSON object a line. */
export type News =
  | { type: 'id'; id: string }
  | { type: 'connected' | 'disconnected'; peer: string }
  | { type: 'message'; peer: string; text: string }
  | { type: 'ended'; how: string }

/** Builds the program with cargo, in `.work` or in CARGO_TARGET_DIR, and returns its path. */
export async function build(): Promise<string> {
  const cargo = locate('cargo')
  if (cargo === undefined)
    throw new Error('cargo is missing: install Rust 1.85 or newer, for example with rustup')
  const target = process.env['CARGO_TARGET_DIR'] ?? `${REPOSITORY}.work/matchbox`
  const args = ['build', '--locked', '--manifest-path', `${PROGRAM}/Cargo.toml`, '--target-dir', target]
  await run(cargo, args, BUILD_DEADLINE_MS)
  return `${target}/debug/matchbox-peer`
}

/** One process with one peer of matchbox_socket. */
export class MatchboxPeer {
  readonly id: string
  readonly #child: Child

  private constructor(child: Child, id: string) {
    this.#child = child
    this.id = id
  }

  /** Starts a peer at `url`, such as `ws://127.0.0.1:1/matchbox/chess`, and waits for its id. */
  static async start(program: string, url: string): Promise<MatchboxPeer> {
    const child = await startChild({ command: program, args: [url], input: true })
    try {
      const id = await child.line(
        (line) => read(line, (news) => (news.type === 'id' ? news.id : undefined)),
        DEADLINE_MS,
      )
      return new MatchboxPeer(child, id)
    } catch (error) {
      await child.stop()
      throw error
    }
  }

  /** All that it has printed so far. */
  news(): News[] {
    return this.#child.lines.flatMap((line) => read(line, (news) => [news]) ?? [])
  }

  /** Waits for news, past or future. */
  async told(matches: (news: News) => boolean, deadlineMs = DEADLINE_MS): Promise<void> {
    await this.#child.line((line) => read(line, (news) => matches(news) || undefined), deadlineMs)
  }

  /** A channel to the peer is open, and the other one's greeting has come over it. */
  async greeted(other: MatchboxPeer): Promise<void> {
    await this.told(
      (news) => news.type === 'message' && news.peer === other.id && news.text === `hello ${this.id}`,
    )
  }

  /** It drops its socket, as a game that is closed does. */
  async stop(): Promise<void> {
    await this.#child.stop()
  }
}

/** Undefined for a line that is no news, such as a warning. */
function read<T>(line: string, of: (news: News) => T | undefined): T | undefined {
  return line.startsWith('{"type":') ? of(JSON.parse(line) as News) : undefined
}

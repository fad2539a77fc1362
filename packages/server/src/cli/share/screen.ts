import type { Writable } from 'node:stream'

/** A place for lines: lines that stay, and below them lines that are drawn anew. */
export interface Screen {
  /** Whether it is a terminal. Else `live` does nothing. */
  readonly isLive: boolean
  columns(): number
  print(line: string): void
  /** Draws these lines below all others, in place of those before. */
  live(lines: readonly string[]): void
}

const COLUMNS_DEFAULT = 80

/** Draws on a terminal, or prints lines to anything else. */
export function createScreen(stream: Writable & { isTTY?: boolean; columns?: number }): Screen {
  const isLive = stream.isTTY === true
  let drawn: readonly string[] = []
  /** Up to the first of the live lines, and everything from there removed. */
  const back = (): string => (drawn.length === 0 ? '' : `\u001B[${drawn.length}A\r\u001B[J`)
  const text = (lines: readonly string[]): string => lines.map((line) => `${line}\n`).join('')
  return {
    isLive,
    columns: () => stream.columns ?? COLUMNS_DEFAULT,
    print(line) {
      stream.write(back() + text([line]) + text(drawn))
    },
    live(lines) {
      if (!isLive || (lines.length === drawn.length && lines.every((line, i) => line === drawn[i]))) return
      stream.write(back() + text(lines))
      drawn = [...lines]
    },
  }
}

import { createInterface } from 'node:readline'
import { Writable } from 'node:stream'
import type { Streams } from '../surroundings.js'

/** The answers with which the last word of the line may go on, and that last word. */
export type Completer = (line: string) => [string[], string]

export interface Asker {
  /**
   * Asks a person. Undefined: the person has ended the question by Ctrl-C or Ctrl-D, or the process is told to end.
   */
  ask(question: string, how?: { completer?: Completer; isHidden?: boolean }): Promise<string | undefined>
}

/** Asks at the terminal: questions go to standard error, answers come from standard input. Undefined: there is none. */
export function createAsker({ stdin, stderr }: Streams, terminated: AbortSignal): Asker | undefined {
  if (stdin.isTTY !== true || stderr.isTTY !== true) return undefined
  return {
    ask(question, { completer, isHidden = false } = {}) {
      // A password is not shown, but the question is.
      if (isHidden) stderr.write(question)
      const output = isHidden ? new Writable({ write: (_chunk, _encoding, done) => done() }) : stderr
      const lines = createInterface({
        input: stdin,
        output,
        terminal: true,
        historySize: 0,
        ...(completer && { completer }),
      })
      return new Promise((resolve) => {
        let answer: string | undefined
        const close = (): void => lines.close()
        lines.once('line', (line) => {
          answer = line
          close()
        })
        lines.once('SIGINT', close)
        lines.once('close', () => {
          terminated.removeEventListener('abort', close)
          if (isHidden || answer === undefined) stderr.write('\n')
          resolve(answer)
        })
        terminated.addEventListener('abort', close, { once: true })
        lines.setPrompt(isHidden ? '' : question)
        lines.prompt()
        if (terminated.aborted) close()
      })
    },
  }
}

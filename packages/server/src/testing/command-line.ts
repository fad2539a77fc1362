import { PassThrough } from 'node:stream'
import { run } from '../cli/program.js'
import type { Surroundings } from '../cli/surroundings.js'

/** Runs the command line with a made-up process around it. */
export async function peerage(
  args: readonly string[],
  more: Partial<Surroundings> = {},
): Promise<{ code: number; out: string; err: string }> {
  const [out, err]: [string[], string[]] = [[], []]
  const code = await run(args, {
    env: {},
    readFile: () => {
      throw new Error('no files here')
    },
    out: (line) => void out.push(line),
    err: (line) => void err.push(line),
    isTerminal: false,
    columns: undefined,
    startedAs: { program: 'peerage', serve: 'peerage serve' },
    terminated: AbortSignal.abort(),
    onHangup: () => {},
    streams: { stdin: new PassThrough(), stdout: new PassThrough(), stderr: new PassThrough() },
    ...more,
  })
  return { code, out: out.join('\n'), err: err.join('\n') }
}

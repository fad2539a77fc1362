import type { Writable } from 'node:stream'
import { SourceError, StoreError } from '@peerage/client/transfer'
import { reasonOf } from '../../lib/reason.js'
import type { ExitCode, Surroundings } from '../surroundings.js'
import { NoServer } from './connection.js'
import { WrongUsage } from './options.js'
import type { Output } from './output.js'

/** How a command ended. */
export interface Finish {
  code: ExitCode
  /** For people. Empty: they know already. */
  message: string
}

export interface Finishing {
  output: Output
  surroundings: Pick<Surroundings, 'err' | 'streams' | 'terminated'>
  /** Whether the events go to standard output. */
  isToldToStdout: boolean
}

/**
 * Runs a command, and tells how it ended: the event `end` is the last one, whatever went wrong. A standard output that is
 * full or closed aborts `terminated`, and is then the reason.
 */
export async function toItsEnd(
  { output, surroundings, isToldToStdout }: Finishing,
  act: () => Promise<Finish>,
): Promise<ExitCode> {
  const { err, streams, terminated } = surroundings
  const stdout = watchStdout(streams.stdout)
  const end = ({ code, message }: Finish): ExitCode => {
    output.tell({ event: 'end', code, message })
    return code
  }
  const fail = (error: unknown): Finish => {
    if (terminated.aborted) return { code: 3, message: '' }
    output.tell({ event: 'error', message: reasonOf(error) })
    const code = expectedCode(error)
    if (code !== undefined) return { code, message: '' }
    end({ code: 1, message: '' })
    throw error
  }
  try {
    const finish = await act().catch(fail)
    const why = stdout.failure()
    if (why === undefined) return end(finish)
    const message = `peerage: ${why}`
    if (isToldToStdout) err(message)
    return end({ code: 1, message })
  } finally {
    stdout.stop()
  }
}

/** Undefined: the error is a bug. */
function expectedCode(error: unknown): ExitCode | undefined {
  if (error instanceof WrongUsage || error instanceof SourceError) return 2
  const isExpected = error instanceof NoServer || error instanceof StoreError
  return isExpected || (error instanceof Error && 'code' in error) ? 1 : undefined
}

const STDOUT_FAILURES: Readonly<Record<string, string>> = {
  EPIPE: 'the program that reads it has ended',
  ENOSPC: 'the disk is full',
}

/** Notes why nothing more can be written. */
function watchStdout(stdout: Writable): { failure: () => string | undefined; stop: () => void } {
  let failure: string | undefined
  const note = (error: Error): void => {
    const why = 'code' in error ? STDOUT_FAILURES[String(error.code)] : undefined
    failure ??= `standard output: ${why ?? error.message}`
  }
  stdout.on('error', note)
  return { failure: () => failure, stop: () => void stdout.off('error', note) }
}

import { PassThrough } from 'node:stream'
import { StoreError } from '@peerage/client/transfer'
import { expect, test } from 'vitest'
import { NoServer } from './connection.js'
import type { ShareEvent } from './events.js'
import { toItsEnd, type Finish } from './finish.js'
import { WrongUsage } from './options.js'

async function run(act: (parts: { stdout: PassThrough; terminate: AbortController }) => Promise<Finish>) {
  const told: ShareEvent[] = []
  const errors: string[] = []
  const terminate = new AbortController()
  const stdout = new PassThrough()
  const ending = toItsEnd(
    {
      output: { tell: (event) => told.push(event), draw: () => {}, say: () => {}, out: () => {} },
      surroundings: {
        err: (line) => errors.push(line),
        streams: { stdin: new PassThrough(), stdout, stderr: new PassThrough() },
        terminated: terminate.signal,
      },
      isToldToStdout: true,
    },
    () => act({ stdout, terminate }),
  )
  const code = await ending.catch(() => 'thrown' as const)
  return { code, told, errors }
}

test('the end is the last event, with the exit code', async () => {
  const message = 'All was delivered.'
  const { told, code } = await run(async () => ({ code: 0, message }))
  expect([code, told]).toEqual([0, [{ event: 'end', code: 0, message }]])
})

test.each([
  [new WrongUsage('wrong'), 2, 2],
  [new NoServer('no server'), 1, 1],
  [new StoreError('failed', 'no disk'), 1, 1],
  [Object.assign(new Error('of the system'), { code: 'EIO' }), 1, 1],
  [new TypeError('a bug'), 'thrown', 1],
])('%s is told before the end', async (error, code, toldCode) => {
  const { told, ...rest } = await run(async () => {
    throw error
  })
  expect(rest.code).toBe(code)
  expect(told).toEqual([
    { event: 'error', message: error.message },
    { event: 'end', code: toldCode, message: '' },
  ])
})

test('Ctrl-C is no error', async () => {
  const { code, told } = await run(async ({ terminate }) => {
    terminate.abort()
    throw new Error('aborted')
  })
  expect([code, told]).toEqual([3, [{ event: 'end', code: 3, message: '' }]])
})

test.each([
  ['ENOSPC', 'peerage: standard output: the disk is full'],
  ['EPIPE', 'peerage: standard output: the program that reads it has ended'],
  ['EIO', 'peerage: standard output: EIO'],
])('a standard output that fails with %s is the reason', async (code, message) => {
  const { told, errors, ...rest } = await run(async ({ stdout, terminate }) => {
    stdout.emit('error', Object.assign(new Error(code), { code }))
    terminate.abort()
    return { code: 3, message: 'Ended by hand.' }
  })
  expect(rest.code).toBe(1)
  expect(told).toEqual([{ event: 'end', code: 1, message }])
  expect(errors).toEqual([message])
})

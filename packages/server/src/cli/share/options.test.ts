import { expect, test } from 'vitest'
import type { Surroundings } from '../surroundings.js'
import type { Asker } from './ask.js'
import { passwordOf } from './options.js'

// Nothing of these is used here but the environment and files.
const surroundings = { env: {}, readFile: () => '' } as unknown as Surroundings

/** A person who types these, one after the other. */
function typing(...answers: string[]): Asker {
  return { ask: () => Promise.resolve(answers.shift()) }
}

test('a new password is asked for twice, so that a typing mistake is found', async () => {
  const ask = (...answers: string[]): Promise<string | undefined> =>
    passwordOf({ password: true }, surroundings, typing(...answers), true)
  expect(await ask('sesame', 'sesame')).toBe('sesame')
  await expect(ask('sesame', 'seasme')).rejects.toThrow('the two passwords differ')
  await expect(ask('')).rejects.toThrow('the password is empty')
})

test('a password of somebody else is asked for once', async () => {
  expect(await passwordOf({ password: true }, surroundings, typing('sesame'))).toBe('sesame')
})

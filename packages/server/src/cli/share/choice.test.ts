import { expect, test } from 'vitest'
import { parseChoice } from './choice.js'

test.each([
  ['', [0, 1, 2, 3]],
  [' Y ', [0, 1, 2, 3]],
  ['n', []],
  ['2', [1]],
  ['4, 1-2', [0, 1, 3]],
  ['1 1 3', [0, 2]],
  ['0', undefined],
  ['5', undefined],
  ['3-2', undefined],
  ['1,', undefined],
  ['-1', undefined],
  ['perhaps', undefined],
  ['1-999999999', undefined],
])('%j of four files', (answer, expected) => expect(parseChoice(answer, 4)).toEqual(expected))

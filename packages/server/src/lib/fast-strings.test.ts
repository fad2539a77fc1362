import { setFlagsFromString } from 'node:v8'
import { createContext, runInContext, runInThisContext } from 'node:vm'
import { expect, test } from 'vitest'
import { keepStringsFast } from './fast-strings.js'

setFlagsFromString('--allow-natives-syntax')
const isFast = runInThisContext('(prototype) => %HasFastProperties(prototype)') as (of: object) => boolean

test('V8 optimizes string methods again after a class extended String', () => {
  // The test uses a realm of its own, because another test may have loaded such a class into this one.
  const realm = createContext()
  const prototype = runInContext(
    '(class extends String {}); String.prototype',
    realm,
  ) as typeof String.prototype
  expect(isFast(prototype)).toBe(false)
  keepStringsFast(prototype)
  expect(isFast(prototype)).toBe(true)
})

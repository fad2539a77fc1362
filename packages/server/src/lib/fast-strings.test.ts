import { setFlagsFromString } from 'node:v8'
import { createContext, runInContext, runInThisContext } from 'node:vm'
import { expect, test } from 'vitest'
import { keepStringsFast } from './fast-strings.js'

setFlagsFromString('--allow-natives-syntax')
const isFast = runInThisContext('(prototype) => %HasFastProperties(prototype)') as (of: object) => boolean

test('V8 optimizes strings again, though a class extends String', () => {
  // A realm of its own: other tests have loaded such a class into this one, or have not.
  const realm = createContext()
  const prototype = runInContext(
    '(class extends String {}); String.prototype',
    realm,
  ) as typeof String.prototype
  expect(isFast(prototype)).toBe(false)
  keepStringsFast(prototype)
  expect(isFast(prototype)).toBe(true)
})

import { setFlagsFromString } from 'node:v8'
import { runInThisContext } from 'node:vm'
import { expect, test } from 'vitest'
import { keepStringsFast } from './fast-strings.js'

setFlagsFromString('--allow-natives-syntax')
const isFast = (): unknown => runInThisContext('%HasFastProperties(String.prototype)')

test('V8 optimizes strings again, though a class extends String', () => {
  runInThisContext('(class extends String {})')
  expect(isFast()).toBe(false)
  keepStringsFast()
  expect(isFast()).toBe(true)
})

import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { Queue } from './queue.js'

test('items come out in the order in which they went in', () => {
  fc.assert(
    fc.property(fc.array(fc.boolean(), { maxLength: 100 }), (pushes) => {
      const queue = new Queue<number>()
      const model: number[] = []
      for (const [i, isPush] of pushes.entries()) {
        if (isPush) model.push(i)
        else model.shift()
        if (isPush) queue.push(i)
        else queue.shift()
        expect(queue.first).toBe(model[0])
      }
    }),
  )
})

import { expect, test } from 'vitest'
import { theEngine } from './engine.js'
import { IMAGE } from './image-build.js'
import { STAND_INS } from './stand-ins.js'

test('the engine has our image and every image that our files ask for', async () => {
  const engine = theEngine()
  for (const name of [IMAGE, ...STAND_INS.flatMap(({ names }) => names)])
    expect(await engine.docker(['image', 'ls', '--quiet', name]), name).not.toBe('')
})

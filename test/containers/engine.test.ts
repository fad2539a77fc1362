import { readFile } from 'node:fs/promises'
import { REPOSITORY } from '@peerage/test-support/node.js'
import { expect, test } from 'vitest'
import { theEngine } from './engine.js'
import { IMAGE } from './image-build.js'
import { STAND_INS } from './stand-ins.js'

const names = STAND_INS.flatMap((standIn) => standIn.names)

test('the engine has our image, and every image of the table', async () => {
  const engine = theEngine()
  for (const name of [IMAGE, ...names])
    expect(await engine.docker(['image', 'ls', '--quiet', name]), name).not.toBe('')
})

test('the table has every image that our files name, except Grafana, which cannot be made here', async () => {
  const read = (path: string): Promise<string> => readFile(`${REPOSITORY}${path}`, 'utf8')
  const files = [
    await read('Dockerfile'),
    await read('docker-compose.yml'),
    await read('k8s/base/turn-deployment.yaml'),
  ]
  const named = files.flatMap((text) =>
    [...text.matchAll(/^(?:FROM (?:--\S+ )*| +image: )(\S+)/gm)].map(([, name]) => name ?? ''),
  )
  expect(named.length).toBeGreaterThan(8)
  const missing = named.filter((name) => name !== IMAGE && !names.includes(name))
  expect(missing).toEqual([expect.stringMatching(/^grafana\/grafana:/)])
})

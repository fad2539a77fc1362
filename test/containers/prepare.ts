import { announceEngine, startEngine, type OwnedEngine } from './engine.js'
import { buildImage, keepImage } from './image-build.js'
import { makeStandIns } from './stand-ins.js'

/** Runs once before the first of the container tests. Their processes inherit our environment. */
export default async function prepare(): Promise<() => Promise<void>> {
  const engine = await startPreparedEngine()
  announceEngine(engine)
  // The fixtures of Redis must run in containers here. testcontainers' own cleaner is an image that not every machine has.
  process.env['PEERAGE_TEST_PARTS'] = 'container'
  process.env['TESTCONTAINERS_RYUK_DISABLED'] = 'true'
  return () => engine.stop()
}

/** As `startEngine`, for an engine that has our image and every image that our files name. */
export async function startPreparedEngine(): Promise<OwnedEngine> {
  const engine = await startEngine()
  let restoreImage = (): Promise<void> => Promise.resolve()
  const stop = async (): Promise<void> => {
    await restoreImage()
    await engine.stop()
  }
  try {
    await makeStandIns(engine)
    if (!engine.isOurs) restoreImage = await keepImage(engine)
    await buildImage(engine)
    return { ...engine, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

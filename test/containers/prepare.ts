import { announceEngine, startEngine } from './engine.js'
import { buildImage } from './image-build.js'
import { makeStandIns } from './stand-ins.js'

/** Runs once before the first of the container tests. Their processes inherit our environment. */
export default async function prepare(): Promise<() => Promise<void>> {
  const engine = await startEngine()
  try {
    announceEngine(engine)
    // The fixtures of Redis must run in containers here. testcontainers' own cleaner is an image that not every machine has.
    process.env['PEERAGE_TEST_PARTS'] = 'container'
    process.env['TESTCONTAINERS_RYUK_DISABLED'] = 'true'
    await makeStandIns(engine)
    await buildImage(engine)
  } catch (error) {
    await engine.stop()
    throw error
  }
  return () => engine.stop()
}

import { BUILT, ensureBuilt } from './node.js'

/** Before the first of a run's test files, so that they need not build one by one. Their processes get our environment. */
export default async function setup(): Promise<void> {
  await ensureBuilt()
  process.env[BUILT] = '1'
}

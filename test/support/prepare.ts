import { CHROMIUM } from './chromium.js'
import { dockerAnswers } from './container.js'
import { COTURN } from './coturn.js'
import { findTool } from './binary.js'
import { FIREFOX } from './firefox.js'
import { HAPROXY } from './haproxy.js'
import { BUILT, ensureBuilt } from './node.js'
import { REDIS } from './redis.js'

/** What is done once before the first of a run's test files. Their processes get our environment. */
export default async function prepare(): Promise<void> {
  await ensureBuilt()
  process.env[BUILT] = '1'
  if (process.env['PEERAGE_TEST_WHOLE'] !== undefined) await installParts()
}

/**
 * Where the large parts are missing, they come here, one after another. Files that run side by side would wait for each
 * other's apt-get, and that is longer than a test may take. What cannot be had, the tests that need it say.
 */
async function installParts(): Promise<void> {
  const inContainers = await dockerAnswers()
  const parts = [...(inContainers ? [] : [REDIS, HAPROXY, COTURN]), CHROMIUM, FIREFOX]
  for (const part of parts) await findTool(part).catch(() => undefined)
}

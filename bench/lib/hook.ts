/**
 * Preloaded (`node --import`) into every measured process, so that the code under test needs no changes. It answers
 * over the IPC channel what only the process itself knows.
 */
import { writeFileSync } from 'node:fs'
import { Session } from 'node:inspector/promises'
import { writeHeapSnapshot } from 'node:v8'
import { answerCommands, type Numbers } from './channel.js'

// Ten milliseconds are short compared with the aim of 200 ms, and 100 timers a second cost very little.
const LAG_INTERVAL_MS = 10

let lags: number[] | undefined
let lagTimer: NodeJS.Timeout | undefined

/** CPU of all threads of this process since it started, user and system, in microseconds (getrusage). */
function cpu(): Numbers {
  const { user, system } = process.cpuUsage()
  return { us: user + system, user, system }
}

/** Bytes after a full collection, so that garbage does not count. */
async function memory(): Promise<Numbers> {
  if (globalThis.gc === undefined) throw new Error('the process runs without --expose-gc')
  for (let turn = 0; turn < 3; turn++) {
    await globalThis.gc({ execution: 'async', type: 'major' })
    await new Promise((resolve) => setImmediate(resolve))
  }
  const { rss, heapUsed, external } = process.memoryUsage()
  return { rss, heapUsed, external }
}

function startLag(): Numbers {
  clearInterval(lagTimer)
  const samples: number[] = []
  lags = samples
  let expected = performance.now() + LAG_INTERVAL_MS
  lagTimer = setInterval(() => {
    const now = performance.now()
    // A loop that is blocked for 100 ms delays ten timers, not one, so ten samples count.
    for (let late = now - expected; late > 0; late -= LAG_INTERVAL_MS) samples.push(late)
    samples.push(0)
    expected = now + LAG_INTERVAL_MS
  }, LAG_INTERVAL_MS)
  lagTimer.unref()
  return {}
}

function lag(): Numbers {
  clearInterval(lagTimer)
  const sorted = (lags ?? []).toSorted((a, b) => a - b)
  const at = (share: number): number => sorted[Math.floor((sorted.length - 1) * share)] ?? 0
  return { p50: at(0.5), p99: at(0.99), max: at(1), samples: sorted.length }
}

/** Writes a `.heapsnapshot` file into the working directory, which shows what is retained. */
function snapshot(): Numbers {
  process.stderr.write(`heap snapshot: ${writeHeapSnapshot()}\n`)
  return {}
}

let profiler: Session | undefined

/** Starts to sample where the CPU time goes, every 200 µs. */
async function startProfile(): Promise<Numbers> {
  profiler = new Session()
  profiler.connect()
  await profiler.post('Profiler.enable')
  await profiler.post('Profiler.setSamplingInterval', { interval: 200 })
  await profiler.post('Profiler.start')
  return {}
}

/** Writes a `.cpuprofile` into the working directory. */
async function endProfile(): Promise<Numbers> {
  if (profiler === undefined) throw new Error('no profile was started')
  const { profile } = await profiler.post('Profiler.stop')
  profiler.disconnect()
  profiler = undefined
  writeFileSync(`${process.pid}.cpuprofile`, JSON.stringify(profile))
  return {}
}

answerCommands('hook', {
  cpu,
  memory,
  'lag-start': startLag,
  lag,
  snapshot,
  'profile-start': startProfile,
  'profile-end': endProfile,
})

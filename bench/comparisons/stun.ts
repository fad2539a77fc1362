import { readFileSync } from 'node:fs'
import { startCoturn } from '@peerage/test-support/coturn.js'
import type { Comparison, Contender, Metrics, Row } from '../lib/comparison.js'
import { REPOSITORY, startProcess } from '../lib/processes.js'

const SOCKETS = 4
const WINDOW = 64
const ROUND_MS = 4000
const QUICK_MS = 400
const WARM_MS = 1500
/** Linux reports CPU time in this unit, whatever the kernel's own tick is. */
const TICKS_PER_SECOND = 100
/** Columns of /proc/PID/stat, counted after the command, which may contain spaces: utime and stime. */
const UTIME = 11
const STIME = 12

const PEERAGE = 'peerage'
const COTURN = 'coturn'

/** A running STUN server. */
interface Subject {
  pid: number
  port: number
  stop(): Promise<void>
}

async function startPeerage(): Promise<Subject> {
  const server = await startProcess({ script: `${REPOSITORY}bench/dist/bench/peers/peerage-stun.js` })
  return { pid: server.pid, port: Number(server.ready['port']), stop: () => server.stop() }
}

async function startTurnserver(): Promise<Subject> {
  const server = await startCoturn({ secret: 'bench' })
  return { pid: server.pid, port: server.port, stop: () => server.stop() }
}

/** CPU of all threads of a process, in microseconds. Both servers are read this way, because coturn has no hook of ours. */
function cpuUs(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  const columns = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return ((Number(columns[UTIME]) + Number(columns[STIME])) * 1e6) / TICKS_PER_SECOND
}

function contender(name: string, start: () => Promise<Subject>): Contender {
  return {
    name,
    start: async ({ quick }) => {
      const subject = await start()
      const load = await startProcess({ script: `${REPOSITORY}bench/dist/bench/loads/stun.js` })
      const run = (ms: number): Promise<Metrics> =>
        load.ask('load', 'run', { port: subject.port, sockets: SOCKETS, window: WINDOW, ms })
      await run(quick ? QUICK_MS : WARM_MS)
      return {
        measure: async () => {
          const before = cpuUs(subject.pid)
          const result = await run(quick ? QUICK_MS : ROUND_MS)
          return { ...result, cpuUs: (cpuUs(subject.pid) - before) / (result['answered'] ?? Number.NaN) }
        },
        stop: async () => {
          await load.stop()
          await subject.stop()
        },
      }
    },
  }
}

const row = (measure: string, metric: string, unit: string): Row => ({
  measure,
  metric,
  unit,
  subject: PEERAGE,
  against: COTURN,
})

export const stun: readonly Comparison[] = [
  {
    id: 'stun',
    title: 'Answered Binding requests, and bytes out per byte in',
    load:
      `closed loop over loopback UDP, ${SOCKETS} sockets with ${WINDOW} requests of 20 bytes in flight each, ` +
      `from one process, ${ROUND_MS / 1000} s a round; CPU of the server process with all its threads ` +
      `(if loadShare is near 1, the load process is the limit, and requests per second are its own)`,
    processes: 'kept',
    rounds: 7,
    contenders: [contender(PEERAGE, startPeerage), contender(COTURN, startTurnserver)],
    rows: [
      row('Binding requests answered', 'perSecond', '/s'),
      row('CPU per answered Binding request', 'cpuUs', 'µs'),
      row('STUN bytes out per byte in', 'bytesRatio', ''),
    ],
  },
]

import { parseArgs } from 'node:util'

/** The settings of each server. */
export function settings() {
  const { values } = parseArgs({
    options: {
      port: { type: 'string', default: '8001' },
      redis: { type: 'string', default: 'redis://127.0.0.1:6379' },
      'p2p-server': { type: 'string', default: '127.0.0.1:9901' },
      tier: { type: 'string', default: 'http://127.0.0.1:8001' },
    },
  })
  const { port, redis, tier } = values
  return { port: Number(port), redis, tier, p2pServer: values['p2p-server'] }
}

/** Resolves on Ctrl-C, or when an operator ends the process. */
export function untilTold() {
  return new Promise((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, resolve)
  })
}

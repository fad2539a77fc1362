#!/usr/bin/env node
// This file is committed and executable, so that the first `npm ci` links it before anything is built.
import { existsSync } from 'node:fs'

// A terminal that closes does not end a node, not even while it loads. main.js then decides what SIGHUP does.
process.on('SIGHUP', () => {})
// The system does not end process 1 of a container on a signal that it does not handle. A shell reports these codes for a
// process that a signal ended. When main.js has listeners of its own, nothing is done here.
for (const [signal, code] of Object.entries({ SIGINT: 130, SIGTERM: 143 }))
  process.on(signal, () => {
    if (process.listenerCount(signal) === 1) process.exit(code)
  })

const main = new URL('../dist/main.js', import.meta.url)
if (existsSync(main)) {
  await import(main.href)
} else {
  process.stderr.write(
    'peerage: not built yet; run npm run build in the checkout, or npm start, which builds first\n',
  )
  process.exitCode = 1
}

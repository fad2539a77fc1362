#!/usr/bin/env node
// This file is committed and executable, so that the first `npm ci` links it before anything is built.
import { existsSync } from 'node:fs'

// A terminal that closes does not end a node, not even while it loads. main.js then decides what SIGHUP does.
process.on('SIGHUP', () => {})

const main = new URL('../dist/main.js', import.meta.url)
if (existsSync(main)) {
  await import(main.href)
} else {
  process.stderr.write(
    'peerage: not built yet; run npm run build in the checkout, or npm start, which builds first\n',
  )
  process.exitCode = 1
}

#!/usr/bin/env node
// Committed and executable, so that the first `npm ci` links it before anything is built.
import { existsSync } from 'node:fs'

// A terminal that closes ends no node, also while one is loading; main.js says what it does instead.
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

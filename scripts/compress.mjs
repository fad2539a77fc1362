// The last step of every build. It puts a compressed copy beside each file that a node sends to browsers, so that a node
// never spends time on it.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { brotliCompressSync, gzipSync } from 'node:zlib'
import { ROOT } from './lib.mjs'

const FORMS = { br: brotliCompressSync, gz: (body) => gzipSync(body, { level: 9 }) }

for (const folder of ['page', 'client'].map((name) => `${ROOT}packages/server/dist/${name}/`))
  for (const file of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
    if (!/\.(?:html|js|css|json|webmanifest|svg|txt)$/.test(file)) continue
    const body = readFileSync(folder + file)
    for (const [ending, compress] of Object.entries(FORMS)) {
      const compressed = compress(body)
      if (compressed.length < body.length) writeFileSync(`${folder}${file}.${ending}`, compressed)
    }
  }

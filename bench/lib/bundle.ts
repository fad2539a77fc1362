import { gzipSync } from 'node:zlib'
import { rolldown } from 'rolldown'
import { REPOSITORY } from './processes.js'

export interface BundleOptions {
  /** The entry's source: `import { connect } from '@peerage/client'; globalThis.connect = connect`. */
  entry: string
  /** Modules that stay outside. */
  external?: readonly (string | RegExp)[]
}

const ENTRY = `${REPOSITORY}bench/entry.js`
const GZIP_LEVEL = 9

/** What a browser would load: one minified script with everything that the entry reaches. */
export async function bundle(options: BundleOptions): Promise<string> {
  const build = await rolldown({
    input: ENTRY,
    platform: 'browser',
    external: [...(options.external ?? [])],
    plugins: [
      {
        name: 'entry',
        resolveId: (id) => (id === ENTRY ? id : undefined),
        load: (id) => (id === ENTRY ? options.entry : undefined),
      },
    ],
  })
  // One file: what is loaded on demand counts, too.
  const { output } = await build.generate({ format: 'es', minify: true, codeSplitting: false })
  await build.close()
  return output.map((chunk) => (chunk.type === 'chunk' ? chunk.code : '')).join('')
}

/** Bytes on the wire with gzip at its best level. */
export const gzipBytes = (code: string): number => gzipSync(code, { level: GZIP_LEVEL }).length

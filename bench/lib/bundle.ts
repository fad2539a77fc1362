import { gzipSync } from 'node:zlib'
import { rolldown } from 'rolldown'
import { REPOSITORY } from './processes.js'

export interface BundleOptions {
  /** The entry's source: `import { connect } from '@peerage/client'; globalThis.connect = connect`. */
  entry: string
  /** Only what is loaded at first, without what is loaded on demand. */
  first?: boolean
}

const ENTRY = `${REPOSITORY}bench/entry.js`
const GZIP_LEVEL = 9

/** What a browser would load, minified: everything that the entry reaches, or what it loads at first. */
export async function bundle(options: BundleOptions): Promise<string> {
  const build = await rolldown({
    input: ENTRY,
    platform: 'browser',
    plugins: [
      {
        name: 'entry',
        resolveId: (id) => (id === ENTRY ? id : undefined),
        load: (id) => (id === ENTRY ? options.entry : undefined),
      },
    ],
  })
  const { first = false } = options
  const { output } = await build.generate({ format: 'es', minify: true, codeSplitting: first })
  await build.close()
  const chunks = output.filter((chunk) => chunk.type === 'chunk')
  return chunks.map(({ code, isDynamicEntry }) => (first && isDynamicEntry ? '' : code)).join('')
}

/** Bytes on the wire with gzip at its best level. */
export const gzipBytes = (code: string): number => gzipSync(code, { level: GZIP_LEVEL }).length

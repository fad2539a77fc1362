import { gzipSync } from 'node:zlib'
import { rolldown } from 'rolldown'
import { REPOSITORY } from './processes.js'

export interface BundleOptions {
  /** The entry's source: `import { connect } from '@peerage/client'; globalThis.connect = connect`. */
  entry: string
  /** Only the code that a page loads at first, without the code that it loads on demand. */
  first?: boolean
}

const ENTRY = `${REPOSITORY}bench/entry.js`
const GZIP_LEVEL = 9

/** The minified code that a browser would load: all that the entry reaches, or only the part that it loads at first. */
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

/** Bytes after gzip at its best level. */
export const gzipBytes = (code: string): number => gzipSync(code, { level: GZIP_LEVEL }).length

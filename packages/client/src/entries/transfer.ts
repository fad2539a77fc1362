// Files and texts between two peers, by a link, a code or a password.
export { blobSource, memoryStore } from '../transfer/engine/index.js'
export { BLOCK_BYTES, SourceError, StoreError } from '../transfer/types.js'
export type * from '../transfer/types.js'
export type * from '../transfer/sharing.js'
export { createSharing } from '../transfer/session/create-sharing.js'
export { parseFragment } from '../transfer/keys/link.js'
export type { FragmentMistake, LinkKey, ParsedFragment } from '../transfer/keys/link.js'
export { completeCode, parseCode } from '../transfer/keys/code.js'
export type { Code, ParsedCode } from '../transfer/keys/code.js'
export { numbered, pathKey, safePath, uniquePaths } from '../transfer/paths.js'
export type { SafePath, Segments } from '../transfer/paths.js'

/** Loads the words of codes, which `parseCode` and `completeCode` need. They are apart because they take 4 KB. */
export const loadCodeWords = async (): Promise<readonly string[]> =>
  (await import('../transfer/keys/words.js')).words

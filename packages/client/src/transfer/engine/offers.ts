import { utf8Length } from '@peerage/protocol'
import type { OfferedFile } from '../types.js'
import { OFFER_BYTES_MAX, OFFER_FILES_MAX } from './limits.js'

/** Room for what is around the files of a message. */
const AROUND_BYTES = 64

/** Files, in lists that fit into messages. */
export function* offerPages(files: readonly OfferedFile[]): Generator<OfferedFile[]> {
  let page: OfferedFile[] = []
  let bytes = AROUND_BYTES
  for (const file of files) {
    const more = utf8Length(JSON.stringify(file)) + 1
    if (page.length === OFFER_FILES_MAX || (page.length > 0 && bytes + more > OFFER_BYTES_MAX)) {
      yield page
      page = []
      bytes = AROUND_BYTES
    }
    page.push(file)
    bytes += more
  }
  if (page.length > 0) yield page
}

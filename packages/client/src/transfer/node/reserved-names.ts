import type { Segments } from '../paths.js'

// Names beside the files of a share that are this program's own, so that no received file or folder may have them.

/** `NAME.part`, `NAME.part.journal` and `NAME.part.lock` of a file that is being received. */
const BESIDE = /\.part(?:\.journal|\.lock)?$/iu
/** Everything else that the program keeps in the folder for a while. */
const OWN = /^\.peerage-/iu

/**
 * Gives names that are the program's own a `_`: `a.part` becomes `a.part_`, and `.peerage-ticket-1` becomes
 * `_.peerage-ticket-1`. This needs to know no other file of the share, so a file has the same name at each try.
 */
export function withoutReserved([first, ...others]: Segments): Segments {
  return [free(first), ...others.map(free)]
}

function free(name: string): string {
  const other = OWN.test(name) ? `_${name}` : name
  return BESIDE.test(other) ? `${other}_` : other
}

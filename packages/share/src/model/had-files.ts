import type { OfferedFile, ShareLink } from '@peerage/client/transfer'
import type { StoreKind } from '../storage/storage.js'
import type { TabMemory } from './world.js'

/** Where a file went that the guest has had. */
export interface HadPlace {
  kind: StoreKind
  /** The name of the file, the folder or the archive, as the store gave it. Empty: it says nothing new. */
  where: string
}

const KINDS: readonly StoreKind[] = [
  'own-storage',
  'picked-file',
  'picked-folder',
  'downloads',
  'zip-download',
  'picked-zip',
  'memory',
  'memory-zip',
]

/**
 * The files of each share that this guest has, outside of the page. After a reload the host offers them again, and they
 * are not new.
 */
export class HadFiles {
  readonly #memory: TabMemory
  readonly #shares = new Map<string, Map<string, HadPlace>>()

  constructor(memory: TabMemory) {
    this.#memory = memory
  }

  placeOf(link: ShareLink, file: OfferedFile): HadPlace | undefined {
    return this.#of(link).get(idOf(file))
  }

  add(link: ShareLink, files: readonly OfferedFile[], place: HadPlace): void {
    if (files.length === 0) return
    const had = this.#of(link)
    for (const file of files) had.set(idOf(file), place)
    const groups = new Map<string, [StoreKind, string, ...string[]]>()
    for (const [id, { kind, where }] of had) {
      const group = groups.get(`${kind} ${where}`)
      if (group === undefined) groups.set(`${kind} ${where}`, [kind, where, id])
      else group.push(id)
    }
    this.#memory.set(nameOf(link), JSON.stringify([...groups.values()]))
  }

  #of(link: ShareLink): Map<string, HadPlace> {
    const name = nameOf(link)
    const had = this.#shares.get(name) ?? readHad(this.#memory.get(name))
    this.#shares.set(name, had)
    return had
  }
}

const nameOf = ({ name, fragment }: ShareLink): string => `peerage-share-had ${name} ${fragment}`

/** A host gives a number once. If the file was changed meanwhile, it is another file. */
const idOf = ({ id, size, modifiedAt }: OfferedFile): string => `${id} ${size} ${modifiedAt ?? ''}`

function readHad(text: string | undefined): Map<string, HadPlace> {
  const had = new Map<string, HadPlace>()
  let input: unknown
  try {
    input = JSON.parse(text ?? '[]')
  } catch {
    return had
  }
  for (const group of Array.isArray(input) ? input : []) {
    const [first, where, ...ids] = Array.isArray(group) ? group.filter((one) => typeof one === 'string') : []
    const kind = KINDS.find((one) => one === first)
    if (kind !== undefined && where !== undefined) for (const id of ids) had.set(id, { kind, where })
  }
  return had
}

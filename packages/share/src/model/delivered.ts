import type { ShareHost, ShareSession, TransferFile, TransferItem } from '@peerage/client/transfer'

/**
 * What each guest has had from this host. A guest that loads its page again has a new session, in which every file is
 * offered again.
 */
export class Delivered {
  readonly #guests = new Map<string, Set<string>>()
  readonly #watched = new WeakSet<ShareSession>()

  watch({ sessions }: ShareHost): void {
    for (const session of sessions) {
      if (this.#watched.has(session)) continue
      this.#watched.add(session)
      session.transfer.onChange(() => this.#look(session))
      this.#look(session)
    }
  }

  /** Whether the guest has the file from an earlier session, and has not asked for it again. */
  has({ peer }: ShareSession, file: TransferFile): boolean {
    const isOffered = file.direction === 'out' && file.state.name === 'offered'
    return isOffered && this.#guests.get(peer.name)?.has(idOf(file)) === true
  }

  /** How many such files there are. */
  count(session: ShareSession): number {
    return session.transfer.state.items.filter((item) => item.kind === 'file' && this.has(session, item))
      .length
  }

  /** The item as it is shown: what was delivered once stays so. */
  shown(session: ShareSession, item: TransferItem): TransferItem {
    if (item.kind === 'text' || !this.has(session, item)) return item
    return { ...item, bytesDone: item.size, state: { name: 'complete' } }
  }

  #look({ peer, transfer }: ShareSession): void {
    const had = this.#guests.get(peer.name) ?? new Set()
    for (const item of transfer.state.items)
      if (item.kind === 'file' && item.direction === 'out' && item.state.name === 'complete')
        had.add(idOf(item))
    this.#guests.set(peer.name, had)
  }
}

const idOf = ({ id, path, size, modifiedAt }: TransferFile): string =>
  `${id} ${size} ${modifiedAt ?? ''} ${path}`

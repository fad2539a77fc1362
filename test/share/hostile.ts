import { createHash } from 'node:crypto'
import { connect } from '@peerage/client'
import { createSharing, memoryStore, type Source } from '@peerage/client/transfer'

/** A host that is no page and no terminal, so that it can offer what neither of them would. */
export interface HandMadeHost {
  link: string
  /** How each file stands at the host: `complete`, or the reason why it ended. */
  states(): string[]
  stop(): Promise<void>
}

export async function handMadeHost(url: string, files: readonly Source[]): Promise<HandMadeHost> {
  const sharing = createSharing({
    store: memoryStore(0),
    device: 'test',
    connectAs: (name) => connect(url, { name, storage: null, p2p: false }),
  })
  const peer = await connect(url, { storage: null, p2p: { verify: sharing.verify } })
  sharing.start(peer)
  const host = sharing.host()
  host.add(files)
  return {
    link: host.link(`${url}/`),
    states: () =>
      host.sessions.flatMap(({ transfer }) =>
        transfer.state.items.flatMap((item) =>
          item.kind !== 'file' ? [] : [item.state.name === 'ended' ? item.state.reason : item.state.name],
        ),
      ),
    stop: async () => {
      await sharing.close()
      await peer.leave()
    },
  }
}

/** A small file with any path. */
export function smallFile(path: string, text: string): Source {
  const bytes = new TextEncoder().encode(text)
  const hash = new Uint8Array(createHash('sha256').update(bytes).digest())
  return {
    info: { path, size: bytes.length, type: 'text/plain', modifiedAt: 1_796_000_000_000 },
    readBlock: async () => ({ bytes: bytes.slice(), hash: hash.slice() }),
  }
}

import type { Store } from '@peerage/client/transfer'
import { makeQr } from '../model/qr.js'
import type {
  Connection,
  Features,
  LinkReading,
  QrCode,
  ReadCode,
  Saving,
  ServerState,
  World,
} from '../model/world.js'
import type { StoreChoice, StoreKind, WholeFile } from '../storage/storage.js'
import { FakeHost, FakeSession } from './fake-share.js'

/** What a demo shows instead of the real world. */
export interface Demo {
  query?: string
  hash?: string
  features?: Partial<Features>
  reading?: LinkReading | 'bad-name'
  connect?: () => Promise<never>
  host?: FakeHost
  session?: FakeSession
  server?: ServerState
  direct?: Connection['direct']
  isServerWay?: boolean
  ways?: readonly StoreKind[]
  isPartMissing?: boolean
  /** What this browser has kept of the share. */
  whole?: readonly WholeFile[]
  /** What the tab remembers. */
  memory?: readonly (readonly [key: string, value: string])[]
  texts?: readonly string[]
  /** Whether the person has opened the form for codes. */
  isCodeForm?: boolean
  /** What the person has entered as the password. */
  password?: string
}

const store: Store = {
  isDurable: false,
  bytesMax: Infinity,
  open: () => Promise.reject(new Error('the demo stores nothing')),
}

/** A world in which nothing is real but the browser. */
export function fakeWorld(demo: Demo, languages: readonly string[] = ['en']): World {
  const features: Features = {
    isSecure: true,
    isLoopback: false,
    canShare: true,
    canPickFolder: true,
    isTouch: false,
    ...demo.features,
  }
  const { texts = [] } = demo
  const memory = new Map<string, string>([
    ...(demo.memory ?? []),
    [
      'peerage-share-texts',
      JSON.stringify({ texts: texts.map((text, index) => ({ id: index + 1, text })), sent: {} }),
    ],
  ])
  const missing = <T>(): Promise<T> =>
    Promise.reject(new TypeError('Failed to fetch dynamically imported module'))
  return {
    href: `https://share.example/${demo.query ?? ''}${demo.hash ?? ''}`,
    features,
    languages,
    memory: {
      get: (key) => memory.get(key),
      set: (key, value) => void memory.set(key, value),
      remove: (key) => void memory.delete(key),
    },
    connect: demo.connect ?? (() => Promise.resolve(fakeConnection(demo))),
    codes: () => (demo.isPartMissing ? missing() : Promise.resolve(fakeCodes)),
    qr: (text): Promise<QrCode> => (demo.isPartMissing ? missing() : Promise.resolve(makeQr(text))),
    go: () => {},
  }
}

function fakeConnection(demo: Demo): Connection {
  return {
    name: 'f2h8-own',
    direct: demo.direct ?? 'possible',
    isServerWay: demo.isServerWay ?? true,
    shareOf: ({ name }) => name,
    readLink: () => demo.reading ?? 'ok',
    sourceOf: (file, path) => ({
      info: { path, size: file.size, type: file.type },
      readBlock: () => Promise.reject(new Error('the demo reads nothing')),
    }),
    onMissing: () => {},
    load: () => Promise.resolve(),
    openSaving: () => Promise.resolve(fakeSaving(demo)),
    onServer: (listener) => {
      if (demo.server) setTimeout(listener, 0, demo.server)
    },
    host: () => demo.host ?? new FakeHost(),
    join: async () => {
      const session = demo.session ?? new FakeSession()
      if (session.state.name === 'ended' && session.state.why === 'wrong-password')
        setTimeout(() => session.changed(), 0)
      return session
    },
  }
}

function fakeSaving(demo: Demo): Saving {
  return {
    choices: (files) => {
      const bytes = files.reduce((sum, { size }) => sum + size, 0)
      return (demo.ways ?? ['own-storage', 'picked-folder', 'downloads']).map((kind) =>
        fakeChoice(kind, bytes),
      )
    },
    open: () => Promise.resolve({ store }),
    durable: undefined,
    wholeFiles: () => Promise.resolve(demo.whole ?? []),
    release: () => {},
  }
}

function fakeChoice(kind: StoreKind, bytes: number): StoreChoice {
  const bytesMax = kind === 'memory' ? 256e6 : kind === 'own-storage' ? 12e9 : Infinity
  return {
    kind,
    survives: kind === 'own-storage' ? 'reload' : 'connection',
    bytesMax,
    fits: bytes <= bytesMax,
    picks: kind.startsWith('picked'),
  }
}

const fakeCodes = {
  complete: (text: string): readonly string[] =>
    text.endsWith('cr') ? ['crane', 'crate', 'crisp', 'crown'] : [],
  read: (text: string): ReadCode =>
    /^\d+(-[a-z]+){3}$/.test(text) ? { ok: true, code: text } : { ok: false, word: 'zzzz' },
}

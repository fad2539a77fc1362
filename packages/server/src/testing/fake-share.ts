import type {
  Consent,
  FileState,
  Progress,
  SessionState,
  ShareSession,
  TransferControls,
  TransferFile,
  TransferItem,
} from '@peerage/client/transfer'

/** A session whose changes a test makes by hand. It notes what it is asked to do. */
export interface FakeSession {
  session: { -readonly [Key in keyof ShareSession]: ShareSession[Key] }
  calls: string[]
  set: (change: { state?: SessionState; consent?: Consent; items?: TransferItem[] }) => void
}

export function fakeSession(): FakeSession {
  const listeners = new Set<() => void>()
  const calls: string[] = []
  let state: SessionState = { name: 'connecting' }
  let consent: Consent = 'not-needed'
  let items: readonly TransferItem[] = []
  const onChange = (listener: () => void): (() => void) => {
    listeners.add(listener)
    return () => listeners.delete(listener)
  }
  const note =
    (what: string) =>
    (keys: readonly string[] = []): void =>
      void calls.push(`${what} ${keys.join()}`)
  const transfer: TransferControls = {
    get state() {
      return { items, in: sumOf(items, 'in'), out: sumOf(items, 'out') }
    },
    onChange,
    offer: () => {},
    accept: note('accept'),
    reject: (keys, problem) =>
      void calls.push(`reject ${keys.join()}${problem === undefined ? '' : `: ${problem}`}`),
    cancel: note('cancel'),
    pause: note('pause'),
    resume: note('resume'),
    remove: note('remove'),
    sendText: (text) => void calls.push(`text ${text}`),
  }
  const session: FakeSession['session'] = {
    role: 'guest',
    peer: { name: 'ann-of-the-host' as ShareSession['peer']['name'], device: 'Firefox on Android' },
    get state() {
      return state
    },
    transfer,
    get consent() {
      return consent
    },
    serverBytesPerSecond: 1_000_000,
    hasTaken: false,
    guestTicket: undefined,
    isOneTime: false,
    expiresAt: undefined,
    link: undefined,
    passwordTriesLeft: undefined,
    answerConsent: (isGiven) => {
      consent = isGiven ? 'given' : 'refused'
      calls.push(`consent ${isGiven}`)
    },
    onChange,
    close: () => void calls.push('close'),
  }
  return {
    session,
    calls,
    set(change) {
      state = change.state ?? state
      consent = change.consent ?? consent
      items = change.items ?? items
      for (const listener of [...listeners].slice()) listener()
    },
  }
}

export const fakeFile = (path: string, state: FileState, more: Partial<TransferFile> = {}): TransferFile => ({
  kind: 'file',
  key: path,
  id: 1,
  direction: 'in',
  path,
  size: 100,
  type: '',
  bytesDone: state.name === 'complete' ? 100 : 0,
  state,
  ...more,
})

function sumOf(items: readonly TransferItem[], direction: 'in' | 'out'): Progress {
  const files = items
    .filter((item) => item.kind === 'file')
    .filter((file) => file.direction === direction && !/^(?:offered|ended)$/.test(file.state.name))
  return {
    files: files.length,
    filesComplete: files.filter((file) => file.state.name === 'complete').length,
    bytes: files.reduce((sum, { size }) => sum + size, 0),
    bytesDone: files.reduce((sum, { bytesDone }) => sum + bytesDone, 0),
    bytesPerSecond: 0,
    secondsLeft: undefined,
  }
}

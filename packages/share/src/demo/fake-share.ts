import type {
  CodeState,
  Consent,
  HostState,
  Progress,
  ShareHost,
  SharedFile,
  ShareLink,
  ShareSession,
  SessionState,
  Source,
  TransferControls,
  TransferItem,
  TransferState,
} from '@peerage/client/transfer'
import type { Name } from '@peerage/protocol'

// Parts that show any state and move nothing, for the tests of the views and for pictures of them.

const asName = (name: string): Name => name as Name

const noSum: Progress = {
  files: 0,
  filesComplete: 0,
  bytes: 0,
  bytesDone: 0,
  bytesPerSecond: 0,
  secondsLeft: undefined,
}

class Changes {
  readonly #listeners = new Set<() => void>()

  onChange = (listener: () => void): (() => void) => {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  changed(): void {
    for (const listener of this.#listeners) listener()
  }
}

/** Its sums follow from its items. */
export class FakeTransfer extends Changes implements TransferControls {
  items: readonly TransferItem[]
  speed: number

  constructor(items: readonly TransferItem[] = [], speed = 0) {
    super()
    this.items = items
    this.speed = speed
  }

  get state(): TransferState {
    return { items: this.items, in: this.#sum('in'), out: this.#sum('out') }
  }

  offer(): void {}
  accept(keys: readonly string[]): void {
    this.#set(keys, (item) => ({ ...item, state: { name: 'accepted', isMoving: item.key === keys[0] } }))
  }
  reject(keys: readonly string[]): void {
    this.#set(keys, (item) => ({ ...item, state: { name: 'ended', reason: 'rejected', detail: '' } }))
  }
  cancel(keys: readonly string[]): void {
    this.#set(keys, (item) => ({ ...item, state: { name: 'ended', reason: 'cancelled-here', detail: '' } }))
  }
  pause(keys: readonly string[] = []): void {
    this.#set(keys, (item) => ({ ...item, state: { name: 'paused', here: true, there: false } }))
  }
  resume(keys: readonly string[] = []): void {
    this.#set(keys, (item) => ({ ...item, state: { name: 'accepted', isMoving: true } }))
  }
  remove(keys: readonly string[]): void {
    this.items = this.items.filter(({ key }) => !keys.includes(key))
    this.changed()
  }
  sendText(text: string): void {
    if (text.length > 32_768) throw new RangeError('the text is too long')
    const at = Date.now()
    const key = `text ${this.items.length}`
    this.items = [...this.items, { kind: 'text', key, direction: 'out', text, isDelivered: true, at }]
    this.changed()
  }

  #set(keys: readonly string[], change: (item: TransferItem & { kind: 'file' }) => TransferItem): void {
    const wanted = new Set(keys)
    this.items = this.items.map((item) =>
      item.kind === 'file' && wanted.has(item.key) ? change(item) : item,
    )
    this.changed()
  }

  #sum(direction: 'in' | 'out'): Progress {
    const sum = { ...noSum }
    for (const item of this.items) {
      if (item.kind !== 'file' || item.direction !== direction) continue
      if (item.state.name === 'offered' || item.state.name === 'ended') continue
      sum.files++
      sum.bytes += item.size
      sum.bytesDone += item.bytesDone
      if (item.state.name === 'complete') sum.filesComplete++
      if (item.state.name === 'accepted' && item.state.isMoving) sum.bytesPerSecond = this.speed
    }
    if (sum.bytesPerSecond > 0) sum.secondsLeft = (sum.bytes - sum.bytesDone) / sum.bytesPerSecond
    return sum
  }
}

export interface FakeSessionParts {
  role?: 'host' | 'guest'
  name?: string
  device?: string
  state?: SessionState
  transfer?: FakeTransfer
  consent?: Consent
  serverBytesPerSecond?: number
  isOneTime?: boolean
  expiresAt?: number
  link?: ShareLink
  passwordTriesLeft?: number
}

export class FakeSession extends Changes implements ShareSession {
  readonly role: 'host' | 'guest'
  readonly peer: { name: Name; device: string }
  state: SessionState
  readonly transfer: FakeTransfer
  consent: Consent
  readonly serverBytesPerSecond: number | undefined
  readonly hasTaken = false
  readonly guestTicket = undefined
  readonly isOneTime: boolean
  readonly expiresAt: number | undefined
  link: ShareLink | undefined
  readonly passwordTriesLeft: number | undefined

  constructor(parts: FakeSessionParts = {}) {
    super()
    this.role = parts.role ?? 'guest'
    this.peer = { name: asName(parts.name ?? 'k3v9-host'), device: parts.device ?? 'Firefox on Android' }
    this.state = parts.state ?? { name: 'open', path: 'direct', sameLan: true }
    this.transfer = parts.transfer ?? new FakeTransfer()
    this.consent = parts.consent ?? 'not-needed'
    this.serverBytesPerSecond = parts.serverBytesPerSecond
    this.isOneTime = parts.isOneTime ?? false
    this.expiresAt = parts.expiresAt
    this.link = parts.link
    this.passwordTriesLeft = parts.passwordTriesLeft
  }

  answerConsent(isGiven: boolean): void {
    this.consent = isGiven ? 'given' : 'refused'
    this.changed()
  }

  close(): void {
    this.state = { name: 'ended', why: 'closed-here', detail: '' }
    this.changed()
  }
}

export class FakeHost extends Changes implements ShareHost {
  readonly name = asName('f2h8-own')
  state: HostState = { name: 'open' }
  code: CodeState = { name: 'none' }
  files: readonly SharedFile[] = []
  sessions: readonly FakeSession[] = []
  hasPassword = false
  isOneTime = false
  expiresAt: number | undefined

  constructor(parts: Partial<FakeHost> = {}) {
    super()
    Object.assign(this, parts)
  }

  link(base: string): string {
    return `${base}?peer_id=${this.name}#AQx3mP0v7Jd2kQnYb8sZtLrWcEfGhUi5oKpNaMlXyVt1`
  }
  add(sources: readonly Source[]): void {
    const first = this.files.length
    this.files = [
      ...this.files,
      ...sources.map((source, index) => ({ ...source.info, id: first + index, source })),
    ]
    this.changed()
  }
  removeFiles(ids: readonly number[]): void {
    this.files = this.files.filter(({ id }) => !ids.includes(id))
    this.changed()
  }
  setPassword(password: string | undefined): void {
    this.hasPassword = password !== undefined
    this.changed()
  }
  setOneTime(isOneTime: boolean): void {
    this.isOneTime = isOneTime
    if (!isOneTime && this.state.name === 'taken') this.state = { name: 'open' }
    this.changed()
  }
  setExpiry(at: number | undefined): void {
    this.expiresAt = at
    this.changed()
  }
  newCode(): void {
    this.code = { name: 'ready', code: '17-crane-otter-tulip' }
    this.changed()
  }
  dropCode(): void {
    this.code = { name: 'none' }
    this.changed()
  }
  stop(): void {
    this.state = { name: 'stopped', why: 'stopped' }
    this.changed()
  }
  save(): string {
    return 'saved'
  }
}

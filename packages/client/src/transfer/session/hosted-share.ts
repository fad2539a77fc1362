import type { Name } from '@peerage/protocol'
import type { Clock, Timer } from '../../lib/clock.js'
import type { Peer } from '../../peer.js'
import { hashOfKey } from '../keys/key-pair.js'
import { fragmentOf, linkOf } from '../keys/link.js'
import type { CodeState, HostOptions, HostState, SharedFile, ShareHost, ShareSession } from '../sharing.js'
import type { Source } from '../types.js'
import type { Entrance } from './entrance.js'
import { HostRoom } from './host-room.js'
import type { OpenRoom } from './host-room.js'
import { passwords } from './lazy.js'
import { Listeners } from './listeners.js'
import { PasswordTries } from './password-tries.js'
import { decodeSaved, encodeSaved, isSame, newShare } from './saved-share.js'
import type { SavedShare } from './saved-share.js'
import type { RoomParts } from './sessions.js'
import { ShareCode } from './share-code.js'
import { shareIdOf } from './share-id.js'

export interface HostParts {
  name: Name
  clock: Clock
  /** Gets what a listener of the application threw. */
  onError: (error: unknown) => void
  entrance: Entrance
  device: string
  instance: string
  connectAs: ((name: string) => Promise<Peer>) | undefined
  /** Loads the code for sessions, and opens the part of the share that has to do with guests. */
  open: (parts: RoomParts) => Promise<OpenRoom>
}

/** What a peer shares by one link. */
export class HostedShare implements ShareHost {
  readonly room: HostRoom
  readonly #parts: HostParts
  readonly #saved: SavedShare
  readonly #tries: PasswordTries
  readonly #listeners: Listeners
  #files: SharedFile[]
  #password: Promise<bigint | undefined>
  #hasPassword: boolean
  #stopped: 'stopped' | 'expired' | undefined
  readonly #code: ShareCode
  #expiry: Timer | undefined

  constructor(parts: HostParts, { saved, password, isOneTime, expiresAt }: HostOptions) {
    this.#parts = parts
    this.#listeners = new Listeners(parts.onError)
    const found = saved === undefined ? undefined : decodeSaved(saved, parts.name)
    this.#saved = found ?? newShare(parts.name)
    this.#saved.isOneTime = isOneTime ?? this.#saved.isOneTime
    this.#files = this.#saved.files.map((file) => ({ ...file, source: undefined }))
    this.#tries = new PasswordTries(this.#saved.wrongPasswords)
    this.#password = Promise.resolve(this.#saved.password)
    this.#hasPassword = this.#saved.password !== undefined
    const { clock, entrance, onError } = parts
    this.room = new HostRoom({ clock, entrance, onError, open: () => parts.open(this.#roomParts()) })
    this.#code = new ShareCode({
      clock,
      keyPair: this.#saved.keyPair,
      destination: () => ({ name: this.name, fragment: this.#fragmentOfCode() }),
      onGuest: (guest, keys) => this.room.know(guest, keys),
      changed: () => this.#changed(),
    })
    if (password !== undefined) this.setPassword(password)
    this.setExpiry(expiresAt ?? this.#saved.expiresAt)
  }

  get name(): Name {
    return this.#parts.name
  }

  get state(): HostState {
    if (this.#stopped !== undefined) return { name: 'stopped', why: this.#stopped }
    if (this.#saved.takenBy !== undefined) return { name: 'taken' }
    return { name: this.#hasPassword && this.#tries.isLocked ? 'locked' : 'open' }
  }

  get code(): CodeState {
    return this.#code.state
  }

  get files(): readonly SharedFile[] {
    return this.#files
  }

  get sessions(): readonly ShareSession[] {
    return this.room.sessions
  }

  get hasPassword(): boolean {
    return this.#hasPassword
  }

  get isOneTime(): boolean {
    return this.#saved.isOneTime
  }

  get expiresAt(): number | undefined {
    return this.#saved.expiresAt
  }

  link(base: string): string {
    return linkOf(base, this.name, this.#fragment())
  }

  add(sources: readonly Source[]): void {
    const added: SharedFile[] = []
    for (const source of sources) {
      const same = this.#files.find((file) => file.source === undefined && isSame(file, source.info))
      if (same === undefined) added.push({ ...source.info, id: this.#saved.nextId++, source })
      else {
        this.#files = this.#files.map((file) => (file === same ? { ...file, source } : file))
        for (const engine of this.room.engines) engine.provide(same.id, source)
      }
    }
    this.#files = [...this.#files, ...added]
    if (added.length > 0) for (const engine of this.room.engines) engine.offerShared(added)
    this.#changed()
  }

  removeFiles(ids: readonly number[]): void {
    this.#files = this.#files.filter(({ id }) => !ids.includes(id))
    for (const engine of this.room.engines)
      engine.endShared(ids, 'stopped', 'the file is not shared any more')
    this.#changed()
  }

  setPassword(password: string | undefined): void {
    this.#hasPassword = password !== undefined
    this.#tries.reset()
    this.#saved.password = undefined
    const computed = password === undefined ? Promise.resolve(undefined) : this.#stretched(password)
    this.#password = computed
    // scrypt fails only without memory, or if it cannot be loaded. Then `answer` of the door rejects, and lets nobody in.
    void computed.then(
      (secret) => {
        // Another password may have been set meanwhile.
        if (this.#password !== computed) return
        this.#saved.password = secret
        this.#changed()
      },
      (error: unknown) => this.#parts.onError(error),
    )
    this.#changed()
  }

  setOneTime(isOneTime: boolean): void {
    this.#saved.isOneTime = isOneTime
    if (!isOneTime) this.#saved.takenBy = undefined
    this.room.tellTerms()
    this.#changed()
  }

  setExpiry(at: number | undefined): void {
    this.#saved.expiresAt = at
    this.#expiry?.cancel()
    if (at !== undefined && this.#stopped === undefined) this.#awaitExpiry(at)
    this.room.tellTerms()
    this.#changed()
  }

  newCode(): void {
    this.#code.make(this.#stopped === undefined ? this.#parts.connectAs : undefined)
  }

  dropCode(): void {
    this.#code.drop()
  }

  stop(): void {
    this.#end('stopped')
  }

  save(): string {
    const files = this.#files.map(({ id, path, size, type, modifiedAt }) => ({
      id,
      path,
      size,
      type,
      modifiedAt,
    }))
    return encodeSaved({ ...this.#saved, files, wrongPasswords: this.#tries.wrong })
  }

  onChange(listener: () => void): () => void {
    return this.#listeners.add(listener)
  }

  /** This peer is closed, so nothing of the share goes on. */
  close(): void {
    this.#expiry?.cancel()
    this.#code.drop()
    this.room.end('self-closed', undefined, 'closed')
    this.room.close()
  }

  #end(why: 'stopped' | 'expired'): void {
    if (this.#stopped !== undefined) return
    this.#stopped = why
    this.#expiry?.cancel()
    this.#code.drop()
    this.room.end(why, why === 'stopped' ? 'this side stopped sharing' : undefined, why)
    this.#changed()
  }

  #awaitExpiry(at: number): void {
    const { clock } = this.#parts
    this.#expiry = clock.after(Math.max(0, at - clock.now()), () => {
      // A timer is shorter than the time to a far date.
      if (clock.now() >= at) this.#end('expired')
      else this.#awaitExpiry(at)
    })
  }

  #roomParts(): RoomParts {
    const { instance, device } = this.#parts
    const { keyPair, secret: linkSecret, codeLinkSecret } = this.#saved
    return {
      share: shareIdOf(this.#keyHash()),
      keyPair,
      linkSecret,
      codeLinkSecret,
      tries: this.#tries,
      password: () => this.#password,
      refusal: () => this.#stopped,
      wrongPassword: () => this.#changed(),
      guests: {
        instance,
        device,
        files: () => this.#files,
        terms: () => {
          const { isOneTime, expiresAt } = this.#saved
          return { isOneTime, ...(expiresAt !== undefined && { expiresAt }) }
        },
        takenBy: () => this.#saved.takenBy,
        take: (ticket) => {
          this.#saved.takenBy = ticket
          this.#changed()
        },
        changed: () => this.#changed(),
      },
    }
  }

  async #stretched(password: string): Promise<bigint> {
    const { passwordSecret } = await passwords()
    return passwordSecret(password, this.#keyHash())
  }

  #keyHash(): Uint8Array<ArrayBuffer> {
    return hashOfKey(this.#saved.keyPair.publicKey)
  }

  #fragment(): string {
    const { secret } = this.#saved
    return fragmentOf({ needsPassword: this.#hasPassword, secret, keyHash: this.#keyHash() })
  }

  /** The guest of a code has shown that it may come, so its link needs no password. */
  #fragmentOfCode(): string {
    return fragmentOf({ needsPassword: false, secret: this.#saved.codeLinkSecret, keyHash: this.#keyHash() })
  }

  #changed(): void {
    this.#listeners.tell()
  }
}

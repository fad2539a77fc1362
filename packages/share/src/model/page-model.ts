import type { ShareHost, ShareLink, ShareSession, Source, TransferFile } from '@peerage/client/transfer'
import type { StoreChoice } from '../storage/storage.js'
import { readAddress } from './address.js'
import { Banners } from './banners.js'
import { GuestMemory } from './guest-memory.js'
import { LinkSearch } from './link-search.js'
import { OwnShare } from './own-share.js'
import { FILES_MAX } from './picked.js'
import type { Picked } from './picked.js'
import type { Banner, Problem, Screen, Trouble } from './screen.js'
import { hasMoving, sharedOut } from './moving.js'
import { Received } from './received.js'
import type { Connection, OpenedStore, Saving, World } from './world.js'
import { ConnectionFailure } from './world.js'

/** What the page does. The views show it, and call it. */
export class PageModel {
  readonly world: World
  readonly own: OwnShare
  readonly received: Received
  readonly #memory: GuestMemory
  readonly #listeners = new Set<() => void>()
  readonly #leaving = new AbortController()
  readonly #search = new LinkSearch()
  readonly #banners = new Banners()
  #screen: Screen = { name: 'starting' }
  #trouble: Trouble | undefined
  #connection: Connection | undefined
  #saving: Saving | undefined
  #guest: ShareSession | undefined

  constructor(world: World) {
    this.world = world
    this.own = new OwnShare(world.memory, () => this.#changed())
    this.#memory = new GuestMemory(world.memory)
    this.received = new Received(this.#memory, () => this.#changed())
  }

  get screen(): Screen {
    return this.#screen
  }

  get banner(): Banner | undefined {
    return this.#banners.shown
  }

  /** Why nothing of what the person picked was added. */
  get trouble(): Trouble | undefined {
    return this.#trouble
  }

  /** The page without its query and fragment, to which links lead. */
  get base(): string {
    return new URL('.', this.world.href).href
  }

  /** Whether a link that has found nobody is tried again by itself. */
  get isSearching(): boolean {
    return this.#search.isOn
  }

  /** The name under which others know this page. Empty before it is connected. */
  get name(): string {
    return this.#connection?.name ?? ''
  }

  /** Whether a transfer would be broken off, or a whole file lost, if the tab were closed now. */
  get isNeeded(): boolean {
    const sessions = [...(this.own.host?.sessions ?? []), ...(this.#guest ? [this.#guest] : [])]
    return sessions.some((session) => hasMoving(session) || this.received.hasUnsaved(session))
  }

  /** Where received files can go. Undefined before `openSaving` has resolved, which rejects with `PartMissing`. */
  get saving(): Saving | undefined {
    return this.#saving
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Connects to the server, and opens the link of the address or makes a share. */
  async start(): Promise<void> {
    try {
      const connection = await this.world.connect(this.#leaving.signal)
      this.#connection = connection
      connection.onMissing((error) => this.tellMissing(error))
      connection.onServer((state) => {
        this.#banners.server(state)
        this.#changed()
      })
      this.#banners.connected(connection)
      if (connection.direct !== 'possible' && !connection.isServerWay) return this.#fail('noWayAtAll')
      await this.#openAddress(connection)
    } catch (error) {
      if (this.#leaving.signal.aborted) return
      if (!(error instanceof ConnectionFailure)) console.error(error)
      const why = error instanceof ConnectionFailure ? error.why : 'unexpected'
      this.#fail(why === 'not-loaded' ? 'notLoaded' : why)
    }
  }

  /** Loads what the first guest needs. The page calls it when nothing else is to do. */
  async loadRest(): Promise<void> {
    await Promise.all([this.#connection?.load(), this.openSaving()])
  }

  async openSaving(): Promise<Saving | undefined> {
    this.#saving = await this.#connection?.openSaving()
    return this.#saving
  }

  stop(): void {
    this.#leaving.abort()
    this.own.stop()
    this.#search.stop()
  }

  /** Files of the person, for everyone who has the link. */
  addFiles(picked: readonly Picked[]): void {
    if (this.#screen.name === 'guest') return this.offer(this.#screen.session, picked)
    const files = this.own.host?.files ?? []
    if (this.#fits(files.filter(({ source }) => source !== undefined).length, picked))
      this.own.host?.add(this.#sources(picked))
  }

  /** Files of the person, for one other peer. */
  offer(session: ShareSession, picked: readonly Picked[]): void {
    if (this.#fits(sharedOut(session), picked)) session.transfer.offer(this.#sources(picked))
  }

  /** Says why nothing of what the person picked was added. Undefined: the person has read it. */
  tell(trouble: Trouble | undefined): void {
    this.#trouble = trouble
    this.#changed()
  }

  /** A share of one's own, with a new link if the one before was stopped. */
  showHost(notice?: 'ownLink' | 'emptyName'): void {
    const connection = this.#connection
    if (connection) this.#show({ name: 'host', host: this.own.open(connection), notice })
  }

  /** From a guest's page to a share of one's own. */
  startOwn(): void {
    this.#memory.forgetCodeLink()
    this.world.go(this.base)
  }

  /** Shows a code to say aloud. */
  showCode(host: ShareHost): void {
    // The host needs the list of words too.
    this.world.codes().then(
      () => host.newCode(),
      (error: unknown) => this.tellMissing(error),
    )
  }

  showCodeForm(): void {
    this.#show({ name: 'code' })
  }

  /** Opens a link or a code. Resolves when the page shows the guest, or what is wrong. */
  async join(to: ShareLink | string, password?: string): Promise<void> {
    if (!this.#connection) return
    this.#search.stop()
    const session = await this.#begin(this.#connection, to, password)
    if (session !== undefined) this.#show({ name: 'guest', session, to })
  }

  /** Accepts offered files into a store that was opened for them. */
  accept(
    session: ShareSession,
    files: readonly TransferFile[],
    choice: StoreChoice,
    opened: OpenedStore,
  ): void {
    this.received.accept(session, files, choice, opened)
  }

  /** Takes files off the list. The person does not need their content any more. */
  removeFiles(session: ShareSession, files: readonly TransferFile[]): void {
    this.received.remove(session, files, this.saving)
  }

  /** A part of the page could not be loaded, because the server has another version now. */
  tellMissing(error: unknown): void {
    console.warn('a part of the page is missing', error)
    this.#banners.show('notLoaded')
    this.#changed()
  }

  reload(): void {
    this.world.go(this.world.href)
  }

  /** Undefined: a part of the page is missing, and the person is told. */
  async #begin(
    connection: Connection,
    to: ShareLink | string,
    password: string | undefined,
  ): Promise<ShareSession | undefined> {
    const ticket = typeof to === 'string' ? undefined : this.#memory.ticketOf(to)
    try {
      const session = await connection.join(to, { password, ticket })
      this.#guest = session
      session.onChange(() => this.#guestChanged(session, to, password))
      this.received.look(session, to, connection)
      if (typeof to !== 'string') this.#resume(to, session)
      return session
    } catch (error) {
      if (this.#screen.name === 'starting') this.#fail('notLoaded')
      else this.tellMissing(error)
      return undefined
    }
  }

  /** Accepts again what was accepted before a reload. */
  #resume(link: ShareLink, session: ShareSession): void {
    this.openSaving().then(
      (saving) => this.#memory.resume(link, session, saving?.durable),
      (error: unknown) => this.tellMissing(error),
    )
  }

  async #openAddress(connection: Connection): Promise<void> {
    const address = readAddress(this.world.href, connection)
    switch (address.opens) {
      case 'no-name':
        return this.#openWithoutName(connection)
      case 'own':
        return this.showHost(address.notice)
      case 'link':
        return this.join(address.link)
      case 'password':
        return this.#show({ name: 'password', link: address.link, isWrong: false, triesLeft: undefined })
      case 'problem':
        return this.#fail(address.problem)
    }
  }

  /** A share of one's own, unless this tab was the guest of a code before a reload. */
  async #openWithoutName(connection: Connection): Promise<void> {
    const link = this.#memory.codeLink
    if (link === undefined || connection.readLink(link) !== 'ok') return this.showHost()
    // The tab may have shared files before it became a guest.
    if (this.own.isKept) this.own.open(connection)
    await this.join(link)
  }

  /** Whether so many files can be added, of which there are some before. If not, the person is told. */
  #fits(before: number, picked: readonly Picked[]): boolean {
    const isTooMany = before + picked.length > FILES_MAX
    this.tell(isTooMany ? 'many' : undefined)
    return picked.length > 0 && !isTooMany
  }

  #sources(picked: readonly Picked[]): Source[] {
    return picked.flatMap(({ file, path }) => this.#connection?.sourceOf(file, path) ?? [])
  }

  #guestChanged(session: ShareSession, to: ShareLink | string, password: string | undefined): void {
    if (session !== this.#guest) return
    this.#memory.keep(session, to)
    const { state, passwordTriesLeft: triesLeft } = session
    const connection = this.#connection
    if (connection) this.received.look(session, to, connection)
    // The screen stays as it is while a link is tried again.
    if (state.name === 'connecting' && this.#search.isOn) return
    if (state.name === 'ended' && state.why === 'not-found' && typeof to !== 'string' && connection)
      this.#search.again(() => void this.#begin(connection, to, password))
    else this.#search.stop()
    if (state.name === 'ended' && state.why === 'wrong-password' && typeof to !== 'string')
      // Without a password, the link is older than the password of its share.
      this.#show({ name: 'password', link: to, isWrong: password !== undefined, triesLeft })
    else if (this.#screen.name === 'guest') this.#show({ name: 'guest', session, to })
    else this.#changed()
  }

  #fail(problem: Problem): void {
    this.#show({ name: 'problem', problem })
  }

  #show(screen: Screen): void {
    this.#screen = screen
    this.#changed()
  }

  #changed(): void {
    for (const listener of this.#listeners) listener()
  }
}

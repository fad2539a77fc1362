import type { Name } from '@peerage/protocol'
import { parseName } from '@peerage/protocol'
import { openIdentity } from '../tier/identity.js'
import type { IdentityPlace, IdentityStorage } from '../tier/identity.js'
import { Session } from '../tier/session.js'
import { platform } from './platform.js'
import type { FakeTier } from './fake-tier.js'

/** A storage like the sessionStorage of a tab. */
export class FakeStorage implements IdentityStorage {
  readonly items = new Map<string, string>()

  getItem(key: string): string | null {
    return this.items.get(key) ?? null
  }
  setItem(key: string, value: string): void {
    this.items.set(key, value)
  }
  removeItem(key: string): void {
    this.items.delete(key)
  }
  /** The storage with which a duplicated tab starts. */
  copy(): FakeStorage {
    const copy = new FakeStorage()
    for (const [key, value] of this.items) copy.items.set(key, value)
    return copy
  }
}

/** One load of a page, or one run of a program. */
export interface Page {
  session: Session
  /** Ends the page as a reload does: the page saves its identity, and its socket closes. */
  unload(): void
}

export function nameFrom(text: string): Name {
  const parsed = parseName(text)
  if (!parsed.ok) throw new Error(parsed.problem)
  return parsed.value
}

export async function openPage(tier: FakeTier, name: string, storage?: FakeStorage): Promise<Page> {
  let leave = (): void => {}
  const place: IdentityPlace | undefined = storage && {
    storage,
    onLeave: (save) => {
      leave = save
      return () => {}
    },
  }
  const session = new Session({
    clock: tier.clock,
    random: tier.faults.random,
    open: tier.open,
    platform,
    identity: await openIdentity(name, place),
    name: nameFrom(name),
  })
  return {
    session,
    unload: () => {
      leave()
      session.connector.close()
    },
  }
}

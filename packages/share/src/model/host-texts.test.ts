import type { ShareHost, ShareSession } from '@peerage/client/transfer'
import { expect, test } from 'vitest'
import { HostTexts } from './host-texts.js'
import type { TabMemory } from './world.js'

function memory(): TabMemory {
  const kept = new Map<string, string>()
  return {
    get: (key) => kept.get(key),
    set: (key, value) => void kept.set(key, value),
    remove: (key) => void kept.delete(key),
  }
}

/** A session that only takes texts. */
function session(name: 'connecting' | 'open' | 'ended'): { texts: string[]; session: ShareSession } {
  const texts: string[] = []
  const fake = { state: { name }, transfer: { sendText: (text: string) => texts.push(text) } }
  return { texts, session: fake as unknown as ShareSession }
}

const hostOf = (...sessions: ShareSession[]): ShareHost => ({ sessions }) as unknown as ShareHost

test('a guest that comes later gets each text once, in order, before it is connected', () => {
  const texts = new HostTexts(memory())
  texts.add('one')
  texts.add('two')
  const guest = session('connecting')
  texts.sendTo(hostOf(guest.session))
  texts.sendTo(hostOf(guest.session))
  texts.add('three')
  texts.sendTo(hostOf(guest.session))
  expect(guest.texts).toEqual(['one', 'two', 'three'])
})

test('a new session gets all texts that were not removed, and a session that ended gets none', () => {
  const kept = memory()
  const before = new HostTexts(kept)
  before.add('one')
  before.add('two')
  before.remove(1)
  const [again, ended] = [session('open'), session('ended')]
  // The host has reloaded its page.
  new HostTexts(kept).sendTo(hostOf(again.session, ended.session))
  expect(again.texts).toEqual(['two'])
  expect(ended.texts).toEqual([])
})

import type { Name, NodeId, RoomId } from '@peerage/protocol'
import { parseName, parseNodeId } from '@peerage/protocol'
import type { Clock, Member, Membership, OnError, RoomRegistry } from '@peerage/core'
import { RegistryUnavailable } from '@peerage/core'
import type { Commands } from './connections/commands.js'
import { readStrings } from './connections/commands.js'
import type { Keys } from './keys.js'
import type { Publishing } from './connections/publishing.js'
import {
  awayRoomScript,
  endsInRoomScript,
  joinRoomScript,
  keepRoomScript,
  listRoomScript,
  partRoomScript,
} from './scripts/rooms.js'
import type { Subscriptions } from './connections/subscriptions.js'

export interface RedisRoomsOptions {
  commands: Commands
  publishing: Publishing
  subscriptions: Subscriptions
  keys: Keys
  clock: Clock
  commandMs: number
  onError: OnError
}

/** Members in one command. Lua's stack limits its arguments, and a long script delays all other commands. */
const MEMBERS_PER_COMMAND = 500
/** Publishes without an answer. Messages in rooms are at most once, so beyond this number they are refused. */
const UNANSWERED_MOST = 5_000

/** `name LF since`. It sorts by the bytes of the name, because LF is below every printable character. */
const write = ({ name, since }: Member): string => `${name}\n${since}`

/** `node o|a`. */
const place = ({ node, state }: Membership): string => `${node} ${state === 'online' ? 'o' : 'a'}`

function read(text: string, where: string): Membership | undefined {
  const at = text.lastIndexOf('\n')
  const name = parseName(text.slice(0, at))
  const since = Number(text.slice(at + 1))
  const node = parseNodeId(where.slice(0, -2))
  if (!name.ok || !node.ok || !Number.isSafeInteger(since)) return undefined
  return { name: name.value, since, node: node.value, state: where.endsWith(' a') ? 'away' : 'online' }
}

/** Rooms: two sorted sets, a hash and a sharded channel each. */
export class RedisRooms implements RoomRegistry {
  readonly #options: RedisRoomsOptions
  #unanswered = 0

  constructor(options: RedisRoomsOptions) {
    this.#options = options
  }

  async join(
    room: RoomId,
    member: Membership,
    ttlMs: number,
    most: number,
  ): Promise<'joined' | 'known' | 'full'> {
    const answer = await this.#run(joinRoomScript, room, [write(member), place(member), ttlMs, most])
    return answer === 1 ? 'joined' : answer === 0 ? 'known' : 'full'
  }

  async part(room: RoomId, member: Member): Promise<boolean> {
    return (await this.#run(partRoomScript, room, [write(member)])) === 1
  }

  async keep(room: RoomId, members: readonly Membership[], ttlMs: number): Promise<void> {
    for (let from = 0; from < members.length; from += MEMBERS_PER_COMMAND)
      await this.#run(keepRoomScript, room, [
        ttlMs,
        ...members
          .slice(from, from + MEMBERS_PER_COMMAND)
          .flatMap((member) => [write(member), place(member)]),
      ])
  }

  async away(room: RoomId, member: Member, node: NodeId, ttlMs: number): Promise<boolean> {
    return (await this.#run(awayRoomScript, room, [write(member), node, ttlMs])) === 1
  }

  async list(
    room: RoomId,
    after: Name | undefined,
    most: number,
  ): Promise<{ members: Membership[]; more: boolean }> {
    const { commands, keys, onError } = this.#options
    const texts = readStrings(
      await commands.script(listRoomScript, keys.members(room), [after ?? '', most + 1]),
    )
    const members: Membership[] = []
    for (let i = 0; i < Math.min(texts.length, 2 * most); i += 2) {
      const member = read(texts[i] ?? '', texts[i + 1] ?? '')
      if (member) members.push(member)
      else onError(new Error('an entry in the list of a room cannot be parsed'), { stage: 'room' })
    }
    return { members, more: texts.length > 2 * most }
  }

  async endsIn(room: RoomId, members: readonly Member[]): Promise<number[]> {
    const { commands, keys } = this.#options
    const all: number[] = []
    for (let from = 0; from < members.length; from += MEMBERS_PER_COMMAND) {
      const some = members.slice(from, from + MEMBERS_PER_COMMAND)
      const answer = readStrings(await commands.script(endsInRoomScript, keys.members(room), some.map(write)))
      all.push(...some.map((_, i) => Number(answer[i] ?? 0)))
    }
    return all
  }

  size(room: RoomId): Promise<number> {
    const { commands, keys } = this.#options
    return commands.run((client) => client.zcard(keys.members(room)))
  }

  subscribe(room: RoomId, receive: (text: string) => void): Promise<void> {
    const { subscriptions, keys, onError } = this.#options
    const hear = (text: string): void => {
      try {
        receive(text)
      } catch (error) {
        onError(error, { stage: 'room' })
      }
    }
    return subscriptions.want(keys.room(room), hear, 'peer')
  }

  unsubscribe(room: RoomId): void {
    this.#options.subscriptions.drop(this.#options.keys.room(room))
  }

  publish(room: RoomId, text: string): Promise<'sent' | 'unavailable'> {
    const { publishing, keys, clock, commandMs } = this.#options
    if (this.#unanswered >= UNANSWERED_MOST) return Promise.resolve('unavailable')
    const published = publishing.publish(keys.room(room), text)
    if (published === undefined) return Promise.resolve('unavailable')
    this.#unanswered++
    return new Promise((resolve) => {
      const timer = clock.after(commandMs, () => resolve('unavailable'))
      const end = (sent: 'sent' | 'unavailable') => (): void => {
        timer.cancel()
        this.#unanswered--
        resolve(sent)
      }
      published.then(end('sent'), end('unavailable'))
    })
  }

  async #run(script: typeof joinRoomScript, room: RoomId, args: (string | number)[]): Promise<number> {
    const answer = await this.#options.commands.script(script, this.#options.keys.members(room), args)
    if (typeof answer !== 'number')
      throw new RegistryUnavailable('Redis gave an answer that none of our scripts gives')
    return answer
  }
}

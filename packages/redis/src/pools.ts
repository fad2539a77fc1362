import type { RoomId } from '@peerage/protocol'
import { parseConnectionId, parseNodeId } from '@peerage/protocol'
import type { Drawn, KeptMember, OnError, PoolMember, PoolRegistry, PoolSize } from '@peerage/core'
import type { Commands } from './connections/commands.js'
import { readStrings } from './connections/commands.js'
import type { Keys } from './keys.js'
import {
  enterPoolScript,
  findPoolScript,
  keepPoolScript,
  leavePoolScript,
  sizePoolScript,
} from './scripts/pools.js'
import type { Script } from './scripts/script.js'

export interface RedisPoolsOptions {
  commands: Commands
  keys: Keys
  onError: OnError
}

/** Members in one command. Lua's stack limits its arguments, and a long script delays all other commands. */
const MEMBERS_PER_COMMAND = 500

/** Pools: a sorted set, a hash and a set each. */
export class RedisPools implements PoolRegistry {
  readonly #options: RedisPoolsOptions

  constructor(options: RedisPoolsOptions) {
    this.#options = options
  }

  async enter(
    pool: RoomId,
    member: PoolMember,
    { ttlMs, draw, most }: { ttlMs: number; draw: number; most: number },
  ): Promise<Drawn | 'full'> {
    const mark = member.marked ? ' m' : ''
    const [lines] = await this.#run(enterPoolScript, pool, [member.id, at(member), mark, ttlMs, draw, most])
    if (lines === undefined) return 'full'
    const answer = lines.split('\n')
    const drawn: PoolMember[] = []
    for (let i = 4; i < answer.length; i += 2) {
      const other = this.#read(answer[i] ?? '', answer[i + 1] ?? '')
      if (other !== undefined) drawn.push(other)
    }
    const [since, own] = (answer[2] ?? '').split(' ')
    const entered = {
      drawn,
      size: sizeOf(answer[0], answer[1]),
      since: Number(since),
      marked: own === 'm',
    }
    const place = answer[3] ?? ''
    const former = place === '' ? undefined : this.#read(member.id, place)
    if (former === undefined) return entered
    return { ...entered, former: { node: former.node, connection: former.connection } }
  }

  async leave(pool: RoomId, member: Omit<PoolMember, 'marked'>): Promise<{ left: boolean; size: PoolSize }> {
    const [left, members, marked] = await this.#run(leavePoolScript, pool, [member.id, at(member)])
    return { left: left === '1', size: sizeOf(members, marked) }
  }

  async keep(pool: RoomId, members: readonly KeptMember[]): Promise<void> {
    for (let from = 0; from < members.length; from += MEMBERS_PER_COMMAND) {
      const args: (string | number)[] = []
      for (const member of members.slice(from, from + MEMBERS_PER_COMMAND)) {
        const { id, since, ttlMs, marked } = member
        args.push(id, `${at(member)}${since}${marked ? ' m' : ''}`, since, ttlMs)
      }
      await this.#run(keepPoolScript, pool, args)
    }
  }

  async find(pool: RoomId, id: string): Promise<PoolMember | undefined> {
    const [place] = await this.#run(findPoolScript, pool, [id])
    return place === undefined ? undefined : this.#read(id, place)
  }

  async sizes(pools: readonly RoomId[]): Promise<PoolSize[]> {
    return Promise.all(
      pools.map(async (pool) => {
        const [members, marked] = await this.#run(sizePoolScript, pool, [])
        return sizeOf(members, marked)
      }),
    )
  }

  #read(id: string, place: string): PoolMember | undefined {
    const [nodeText, connectionText, , mark] = place.split(' ')
    const node = parseNodeId(nodeText)
    const connection = parseConnectionId(connectionText)
    if (node.ok && connection.ok)
      return { id, node: node.value, connection: connection.value, marked: mark === 'm' }
    this.#options.onError(new Error('the place of a member of a pool cannot be parsed'), { stage: 'pool' })
    return undefined
  }

  async #run(script: Script, pool: RoomId, args: (string | number)[]): Promise<string[]> {
    return readStrings(await this.#options.commands.script(script, this.#options.keys.pool(pool), args))
  }
}

/** `node connection `, with a space at the end, so that it is no beginning of another place. */
function at({ node, connection }: Omit<PoolMember, 'marked'>): string {
  return `${node} ${connection} `
}

function sizeOf(members: string | undefined, marked: string | undefined): PoolSize {
  return { members: Number(members ?? 0), marked: Number(marked ?? 0) }
}

import type { App } from '@peerage/protocol'
import type { Answers, OnError, RecordKind, Records, RecordsPage } from '@peerage/core'
import type { Commands } from './connections/commands.js'
import { readStrings } from './connections/commands.js'
import { inTime } from './in-time.js'
import type { Keys } from './keys.js'
import type { RedisNodes } from './nodes.js'
import { deleteRecordScript, pageRecordsScript, putRecordScript } from './scripts/records.js'
import type { Script } from './scripts/script.js'

export interface RedisRecordsOptions {
  commands: Commands
  keys: Keys
  nodes: RedisNodes
  onError: OnError
}

/** Records: two sorted sets and a hash for each app and kind. */
export class RedisRecords implements Records {
  readonly #options: RedisRecordsOptions

  constructor(options: RedisRecordsOptions) {
    this.#options = options
  }

  async put(
    app: App,
    kind: RecordKind,
    key: string,
    value: string,
    ttlMs: number,
    most: number,
  ): Promise<'put' | 'full'> {
    const answer = await this.#change(putRecordScript, app, kind, [key, value, ttlMs, most])
    return answer === 1 ? 'put' : 'full'
  }

  async get(app: App, kind: RecordKind, keys: readonly string[]): Promise<(string | undefined)[]> {
    if (keys.length === 0) return []
    const { commands, keys: names, nodes } = this.#options
    const values = await commands.run((client) => client.hmget(`${names.records(app, kind)}:values`, ...keys))
    const { now } = nodes.view()
    return keys.map((_, i) => {
      const read = readValue(values[i])
      return read !== undefined && read.end > now ? read.text : undefined
    })
  }

  async delete(app: App, kind: RecordKind, key: string): Promise<boolean> {
    return (await this.#change(deleteRecordScript, app, kind, [key])) === 1
  }

  async page(app: App, kind: RecordKind, after: string | undefined, most: number): Promise<RecordsPage> {
    const { commands, keys, onError } = this.#options
    const args = [after ?? '', most + 1]
    const answer = await commands.script(pageRecordsScript, keys.records(app, kind), args)
    const [now, ...texts] = readStrings(answer)
    const records: RecordsPage['records'] = []
    let last: string | undefined
    for (let i = 0; i < Math.min(texts.length, 2 * most); i += 2) {
      const [key = '', value] = [texts[i], texts[i + 1]]
      const read = readValue(value)
      if (read === undefined) onError(new Error('a record cannot be parsed'), { stage: 'records' })
      else if (read.end > Number(now))
        records.push({ key, value: read.text, endsInMs: read.end - Number(now) })
      last = key
    }
    return texts.length > 2 * most && last !== undefined ? { records, next: last } : { records }
  }

  #change(script: Script, app: App, kind: RecordKind, args: (string | number)[]): Promise<0 | 1> {
    const { commands, keys, nodes } = this.#options
    const key = keys.records(app, kind)
    return inTime(nodes, async () => {
      const answer = await commands.script(script, key, [nodes.commandDeadline(), ...args])
      return answer === 0 || answer === 1 ? answer : undefined
    })
  }
}

/** `end`, a space, the text. */
function readValue(value: string | null | undefined): { end: number; text: string } | undefined {
  const words = /^(\d{1,16}) (.*)$/su.exec(value ?? '')
  return words === null ? undefined : { end: Number(words[1]), text: words[2] ?? '' }
}

/** Answers: one string each. */
export class RedisAnswers implements Answers {
  readonly #options: Pick<RedisRecordsOptions, 'commands' | 'keys'>

  constructor(options: Pick<RedisRecordsOptions, 'commands' | 'keys'>) {
    this.#options = options
  }

  async begin(app: App, key: string, value: string, ttlMs: number): Promise<string | undefined> {
    const { commands, keys } = this.#options
    const known = await commands.run((client) =>
      client.set(keys.answer(app, key), value, 'PX', ttlMs, 'NX', 'GET'),
    )
    return known ?? undefined
  }

  async finish(app: App, key: string, value: string, ttlMs: number): Promise<void> {
    const { commands, keys } = this.#options
    await commands.run((client) => client.set(keys.answer(app, key), value, 'PX', ttlMs))
  }

  async forget(app: App, key: string): Promise<void> {
    const { commands, keys } = this.#options
    await commands.run((client) => client.del(keys.answer(app, key)))
  }
}

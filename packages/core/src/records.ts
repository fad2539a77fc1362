import type { App } from '@peerage/protocol'

/** `bans`: who may not come in. `servers`: application servers that have registered themselves. */
export type RecordKind = 'bans' | 'servers'

/** Records in one page, and keys in one read. Redis answers no other command meanwhile. */
export const RECORDS_BATCH_MOST = 1_000

/**
 * Small texts of an app that end by themselves. All records of one kind of one app are in one place, so that one command
 * reads several. Contract (testing/contracts/records-contract.ts):
 * - each method is atomic;
 * - a record ends `ttlMs` after it was last put. An app without records leaves nothing behind [I16];
 * - keys are in a fixed order. A record that is there all the time is in exactly one page;
 * - no node keeps a copy: a store that loses its data loses the records;
 * - during an outage a method rejects with `RegistryUnavailable` within `commandMs`. A change may still have been carried
 *   out.
 */
export interface Records {
  /** `full`: the app has `most` other records of this kind, and this one was not put. */
  put(
    app: App,
    kind: RecordKind,
    key: string,
    value: string,
    ttlMs: number,
    most: number,
  ): Promise<'put' | 'full'>
  /** The value of each key, in the same order. Undefined: there is none. At most `RECORDS_BATCH_MOST` keys. */
  get(app: App, kind: RecordKind, keys: readonly string[]): Promise<(string | undefined)[]>
  /** Returns whether there was a record. */
  delete(app: App, kind: RecordKind, key: string): Promise<boolean>
  /** The records among the next `most` keys after `after`; `most` is at most `RECORDS_BATCH_MOST`. */
  page(app: App, kind: RecordKind, after: string | undefined, most: number): Promise<RecordsPage>
}

/** `next`: the key after which the following page begins. Absent on the last page. */
export interface RecordsPage {
  records: { key: string; value: string; endsInMs: number }[]
  next?: string
}

/**
 * Answers that were given to requests with a key of the caller's choice, so that a repeated request gets the first answer
 * and does nothing (`Idempotency-Key`). Contract (testing/contracts/answers-contract.ts):
 * - of several concurrent `begin` with one key, exactly one resolves with undefined;
 * - a text ends `ttlMs` after it was written;
 * - keys are of any length and any characters, and each app has its own;
 * - during an outage a method rejects with `RegistryUnavailable` within `commandMs`. It may still have been carried out.
 */
export interface Answers {
  /** Stores `value`, unless there is a text already: then returns that text. */
  begin(app: App, key: string, value: string, ttlMs: number): Promise<string | undefined>
  /** Stores `value` in place of any text. */
  finish(app: App, key: string, value: string, ttlMs: number): Promise<void>
  /** Removes the text. */
  forget(app: App, key: string): Promise<void>
}

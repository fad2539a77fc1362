import { SourceError, StoreError } from '@peerage/client/transfer'
import { nameOf, textOf } from './browser-files.js'
import type { Failure } from './protocol.js'

const NO_SPACE = 'There is no more room for this file in this browser or on this device.'
const OPEN_ELSEWHERE =
  'This file is open in another tab of this browser. Close the other tab, or receive the file there.'

/** Puts an error of a browser into our words. */
export function storeFailure(error: unknown): Failure & { kind: 'store' } {
  if (error instanceof StoreError) return { kind: 'store', reason: error.reason, message: error.message }
  switch (nameOf(error)) {
    case 'QuotaExceededError':
      return { kind: 'store', reason: 'full', message: NO_SPACE }
    case 'NoModificationAllowedError':
      return { kind: 'store', reason: 'failed', message: OPEN_ELSEWHERE }
    case 'NotAllowedError':
      return {
        kind: 'store',
        reason: 'failed',
        message: 'The browser no longer allows this page to write there. Choose the place again.',
      }
    case 'NotFoundError':
    case 'InvalidStateError':
      return {
        kind: 'store',
        reason: 'failed',
        message: 'The place of this file is gone: it was moved, removed or cleared by the browser.',
      }
    default:
      return {
        kind: 'store',
        reason: 'failed',
        message: `The browser could not store this file: ${textOf(error)}`,
      }
  }
}

export function storeError(error: unknown): StoreError {
  if (error instanceof StoreError) return error
  const { reason, message } = storeFailure(error)
  return new StoreError(reason, message, { cause: error })
}

/** Turns what came from the worker back into an exception. */
export function errorOf(failure: Failure): SourceError | StoreError {
  switch (failure.kind) {
    case 'source':
      return new SourceError(failure.reason, failure.message)
    case 'store':
      return new StoreError(failure.reason, failure.message)
  }
}

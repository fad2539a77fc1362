import type { ApiErrorCode } from './types.js'

/** A call that was not carried out. Wrong arguments are a TypeError, and the reason of an abort signal is thrown as it is. */
export class ApiError extends Error {
  override readonly name = 'ApiError'
  /** What programs look at. Codes are stable. */
  readonly code: ApiErrorCode
  /** The HTTP status. 0: no answer came. */
  readonly status: number
  /** Each wrong value of the request. */
  readonly errors: readonly { at: string; detail: string }[]

  /** @internal */
  constructor(
    code: ApiErrorCode,
    message: string,
    {
      status = 0,
      errors = [],
      ...options
    }: ErrorOptions & { status?: number; errors?: ApiError['errors'] } = {},
  ) {
    super(message, options)
    this.code = code
    this.status = status
    this.errors = errors
  }
}

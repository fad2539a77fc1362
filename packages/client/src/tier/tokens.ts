import { aText, check } from '../lib/check.js'

/** The function with which an application makes its access tokens. */
export type MakeToken = () => string | Promise<string>

/** The access tokens that the application's function makes. */
export class Tokens {
  /** The call for a renewal, while it is under way. `Renewal` sets it. */
  renewing: Promise<string> | undefined
  readonly #make: MakeToken

  constructor(make: MakeToken) {
    this.#make = make
  }

  /**
   * A token for a hello. If the connection was lost while a renewal called the function, the hello takes the result of
   * that call, because an identity provider may not allow two calls at once. It does so once, because the call may hang.
   */
  forHello(): Promise<string> {
    const { renewing } = this
    this.renewing = undefined
    return renewing ?? this.make()
  }

  /** Calls the function. Rejects if it throws, rejects, or returns no text. */
  async make(): Promise<string> {
    let token: string
    try {
      token = await this.#make()
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause)
      throw new Error(`the function \`token\` failed: ${why}`, { cause })
    }
    check('what `token` returns', token, aText)
    return token
  }
}

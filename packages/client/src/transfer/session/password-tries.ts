/** How many wrong passwords a share takes. */
export const TRIES_MAX = 10

/** Counts wrong passwords, also those that are being tried now, so that parallel guesses gain nothing. */
export class PasswordTries {
  #wrong: number
  #underWay = 0

  constructor(wrong: number) {
    this.#wrong = wrong
  }

  get wrong(): number {
    return this.#wrong
  }

  /** How many more wrong passwords the share takes. */
  get left(): number {
    return Math.max(0, TRIES_MAX - this.#wrong)
  }

  get isLocked(): boolean {
    return this.#wrong >= TRIES_MAX
  }

  /** A guest begins to prove its password. Returns why it may not. */
  begin(): 'locked' | 'busy' | undefined {
    if (this.isLocked) return 'locked'
    if (this.#wrong + this.#underWay >= TRIES_MAX) return 'busy'
    this.#underWay++
    return undefined
  }

  end(isWrong: boolean): void {
    this.#underWay--
    if (isWrong) this.#wrong++
  }

  /** There is another password now. */
  reset(): void {
    this.#wrong = 0
  }
}

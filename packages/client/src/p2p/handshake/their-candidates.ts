/** What the other side found. */
export class TheirCandidates {
  /** The addresses that it announced as its own. */
  readonly hosts = new Set<string>()
  /** Those that came before the description they belong to; WebRTC refuses them until then. */
  #early: string[] | undefined = []

  /** Those of a description that is in place, or will be. */
  async add(connection: RTCPeerConnection, candidates: string[]): Promise<void> {
    if (this.#early) return void this.#early.push(...candidates)
    for (const candidate of candidates) {
      const address = / (\S+) \d+ typ host/.exec(candidate)?.[1]
      if (address !== undefined) this.hosts.add(address)
      await connection.addIceCandidate({ candidate, sdpMLineIndex: 0 })
    }
  }

  /** The description is in place. */
  async addEarly(connection: RTCPeerConnection): Promise<void> {
    const early = this.#early ?? []
    this.#early = undefined
    await this.add(connection, early)
  }
}

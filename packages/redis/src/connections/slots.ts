// Redis Cluster specification, «Key distribution model»: a key's slot is CRC16 of it, or of its hash tag, modulo
// 16384. CRC16 is XMODEM's: polynomial 0x1021, no reflection, initial value 0.

const SLOTS = 16_384
const POLYNOMIAL = 0x1021

/** The slot of a key or of a sharded channel. */
export function slotOf(key: string): number {
  const open = key.indexOf('{')
  const close = open < 0 ? -1 : key.indexOf('}', open + 1)
  return crc16(Buffer.from(close > open + 1 ? key.slice(open + 1, close) : key)) % SLOTS
}

const TABLE = Uint16Array.from({ length: 256 }, (_, byte) => {
  let crc = byte << 8
  for (let bit = 0; bit < 8; bit++) crc = crc & 0x8000 ? (crc << 1) ^ POLYNOMIAL : crc << 1
  return crc & 0xffff
})

function crc16(bytes: Uint8Array): number {
  let crc = 0
  for (const byte of bytes) crc = ((crc << 8) & 0xffff) ^ (TABLE[(crc >> 8) ^ byte] ?? 0)
  return crc
}

/** Which master serves which slots. */
export class SlotMap {
  /** Of each slot: `host:port` of its master, or undefined. */
  readonly #owners: (string | undefined)[] = []
  readonly masters = new Set<string>()

  /** Reads the answer to CLUSTER SLOTS; undefined: not such an answer. */
  static read(answer: unknown): SlotMap | undefined {
    if (!Array.isArray(answer)) return undefined
    const map = new SlotMap()
    for (const range of answer) {
      if (!Array.isArray(range)) return undefined
      const [from, to, master] = range.map((item: unknown) => item)
      if (typeof from !== 'number' || typeof to !== 'number' || !Array.isArray(master)) return undefined
      const [host, port] = master.map((item: unknown) => item)
      // A node that does not know its own address yet says '' or null.
      if (typeof host !== 'string' || host === '' || typeof port !== 'number') continue
      map.masters.add(`${host}:${port}`)
      for (let slot = from; slot <= to && slot < SLOTS; slot++) map.#owners[slot] = `${host}:${port}`
    }
    return map.masters.size === 0 ? undefined : map
  }

  owner(channel: string): string | undefined {
    return this.#owners[slotOf(channel)]
  }

  /** Whether any slot has another master here. */
  differs(from: SlotMap): boolean {
    for (let slot = 0; slot < SLOTS; slot++) if (this.#owners[slot] !== from.#owners[slot]) return true
    return false
  }
}

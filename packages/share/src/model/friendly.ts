// Names of peers are long and random. People see a colour and an animal instead, which follow from the name.

export const COLOURS = 8
export const ANIMALS = 32

/** Which colour and which animal stand for a peer, as indexes into the lists of the languages. */
export interface FriendlyName {
  colour: number
  animal: number
}

/** The same name always gives the same result, in each browser. */
export function friendlyName(name: string): FriendlyName {
  // FNV-1a, 32 bits.
  let hash = 0x811c9dc5
  for (const byte of new TextEncoder().encode(name)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0
  // The low bits of FNV-1a depend on few bits of the name, so the high bits are mixed in.
  const mixed = (hash ^ (hash >>> 15)) >>> 0
  return { colour: mixed % COLOURS, animal: (mixed >>> 8) % ANIMALS }
}

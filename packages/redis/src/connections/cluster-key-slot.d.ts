declare module 'cluster-key-slot' {
  /** The slot of a key or of a sharded channel. No key may hold `{}`, which it reads unlike Redis; none of ours can. */
  const slotOf: (key: string) => number
  export = slotOf
}

declare module 'cluster-key-slot' {
  /**
   * The slot of a key or of a sharded channel. It differs from Redis for keys that contain `{}`, but none of ours
   * can.
   */
  const slotOf: (key: string) => number
  export = slotOf
}

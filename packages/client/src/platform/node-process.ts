/**
 * Node's `process`. Undefined elsewhere, also where something else has that name: bundlers put in an empty object, and
 * the functions of the one in Next's edge runtime throw.
 */
export function nodeProcess(): typeof globalThis.process | undefined {
  const { process } = globalThis
  return process?.versions?.node === undefined ? undefined : process
}

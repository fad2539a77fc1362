import { shown } from './check.js'

/** JSON.stringify makes `{}` of these, and so drops their content. */
const OPAQUE_PATTERN = /^(?:Blob|DOMException|Error|File|FormData|Map|Promise|RegExp|Set|WeakMap|WeakSet)$/

/**
 * The JSON text of a value.
 * @throws TypeError for what JSON cannot hold: undefined, a function, NaN, a Map and the like, a cycle, a BigInt
 */
export function jsonOf(data: unknown): string {
  const tag = Object.prototype.toString.call(data).slice(8, -1)
  // JSON.stringify makes `null` of NaN and Infinity. We do not check what `data` contains: that takes half as long again.
  const isLost = OPAQUE_PATTERN.test(tag) || (typeof data === 'number' && !Number.isFinite(data))
  const json = isLost ? undefined : stringified(data)
  if (json === undefined)
    throw new TypeError(
      `data must be a JSON value, a string or bytes (an ArrayBuffer or a view); it is ${shown(data)}`,
    )
  return json
}

function stringified(data: unknown): string | undefined {
  try {
    return JSON.stringify(data)
  } catch (cause) {
    // A cycle, a BigInt, or a toJSON that throws.
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new TypeError(`data cannot be sent as JSON: ${why}`, { cause })
  }
}

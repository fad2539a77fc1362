/** V8 starts to cache a property lookup after about ten lookups. */
const LOOK_UPS = 1_000

/**
 * Makes V8 optimize the methods of strings again. V8 stops this for the whole process when a class extends String, and
 * ioredis loads such a class. From then on, reading a string character by character takes two to three times as long.
 * V8 optimizes the properties of an object again when the object becomes the prototype of another one. Nothing else
 * changes.
 */
export function keepStringsFast(prototype = String.prototype): void {
  const strings = Object.create(prototype) as { readonly charCodeAt: unknown }
  for (let n = 0; n < LOOK_UPS; n++) if (strings.charCodeAt === undefined) return
}

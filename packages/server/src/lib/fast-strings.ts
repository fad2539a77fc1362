/** V8 begins to keep what a property look-up found some ten look-ups after the first. */
const LOOK_UPS = 1_000

/**
 * Has V8 optimize the methods of strings again. It stops that for the whole process where a class extends String, as one
 * of ioredis does when it is loaded: to look at each character of a text takes two to three times as long from then on.
 * V8 sorts out the properties of an object anew when it is used as the prototype of another one. Nothing else changes.
 */
export function keepStringsFast(prototype = String.prototype): void {
  const strings = Object.create(prototype) as { readonly charCodeAt: unknown }
  for (let n = 0; n < LOOK_UPS; n++) if (strings.charCodeAt === undefined) return
}

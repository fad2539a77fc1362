/** Removes the flags from a text that names each setting with its flag, such as `port (--port)`. An application has no flags. */
export function withoutFlags(text: string): string {
  return text.replaceAll(/ \(--[a-z0-9-]+\)/g, '')
}

/** Texts that are allowed: these ones, and those that begin with one of the prefixes. There are no wildcards. */
export interface AllowList {
  names?: readonly string[]
  prefixes?: readonly string[]
}

/** What a peer may do in its app. Whatever is absent is not restricted beyond the rules of the app. */
export interface Grants {
  /** The rooms that it may join. */
  rooms?: AllowList
  /** The names to which it may send messages and signals. */
  to?: AllowList
  /** Rates of its connection. Each counts only if it is lower than that of the app. */
  limits?: { messagesPerSecond?: number; bytesPerSecond?: number; lookupsPerSecond?: number }
  /** Whether it may list the names of the app, on a wire that can. */
  discovery?: boolean
}

/** Whether the list allows a text. An absent list allows everything. */
export function allows(list: AllowList | undefined, text: string): boolean {
  if (list === undefined) return true
  const { names = [], prefixes = [] } = list
  return names.includes(text) || prefixes.some((prefix) => text.startsWith(prefix))
}

/** Over how many channels the bytes of a session go at most. */
export const CHANNELS_MAX = 4

/** Each of two peers may be the guest of the other. Their channels have different first labels, so they do not meet. */
const FIRST_LABELS = ['share', 'share-back'] as const

/** The labels of the channels from a guest to its host: the first, which carries text too, and those beside it. */
export function labelsOf(guest: string, host: string): { first: string; more: readonly string[] } {
  const first = FIRST_LABELS[guest < host ? 0 : 1]
  return { first, more: Array.from({ length: CHANNELS_MAX - 1 }, (_, i) => `${first}-${i + 2}`) }
}

export const isFirstLabel = (label: string): boolean => FIRST_LABELS.some((first) => first === label)

/** Whether a channel is of sharing at all. */
export const isAnyShareLabel = (label: string): boolean => /^share(-back)?(-[2-4])?$/.test(label)

/** Whether a guest uses this label for its host. */
export function isShareLabel(label: string, guest: string, host: string): boolean {
  const { first, more } = labelsOf(guest, host)
  return label === first || more.includes(label)
}

/** The label of the channel of a session, and of those beside it that carry bytes too. */
export const CHANNEL_LABEL = 'share'
export const CHANNELS_MAX = 4

export const extraLabel = (number: number): string => `${CHANNEL_LABEL}-${number}`

const LABELS = new Set([CHANNEL_LABEL, ...[2, 3, 4].map(extraLabel)])

export const isShareLabel = (label: string): boolean => LABELS.has(label)

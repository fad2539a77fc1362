import { toBase64Url } from '../../lib/base64.js'

/** Identifies a share for the stores, over reloads of either side: the hash of the host's key in its link. */
export const shareIdOf = (keyHash: Uint8Array): string => toBase64Url(keyHash)

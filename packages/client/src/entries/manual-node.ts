// Manual mode in Node.
import { manualOn } from '../p2p/manual/manual.js'
import { findManualPeerConnection } from '../platform/node.js'

export type { ManualAnswer, ManualOffer, ManualOptions } from '../p2p/manual/manual.js'

/** See manual.ts, whose types are those of both entries. */
export const { offerManually, answerManually } = manualOn(findManualPeerConnection)

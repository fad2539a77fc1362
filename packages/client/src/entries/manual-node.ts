import { manualOn } from '../p2p/manual/manual.js'
import { findNodePeerConnection } from '../platform/node.js'

export type { ManualAnswer, ManualOffer, ManualOptions } from '../p2p/manual/manual.js'
export const { offerManually, answerManually } = manualOn(findNodePeerConnection)

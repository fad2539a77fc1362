import { manualOn } from '../manual.js'
import { findNodePeerConnection } from '../node-platform.js'

export type { ManualAnswer, ManualOffer, ManualOptions } from '../manual.js'
export const { offerManually, answerManually } = manualOn(findNodePeerConnection)

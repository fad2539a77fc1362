import { browser } from '../platform/browser.js'
import { manualOn } from '../p2p/manual/manual.js'

export type { ManualAnswer, ManualOffer, ManualOptions } from '../p2p/manual/manual.js'
export const { offerManually, answerManually } = manualOn(browser.findPeerConnection)

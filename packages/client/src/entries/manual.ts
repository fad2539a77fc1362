import { browser } from '../browser.js'
import { manualOn } from '../manual.js'

export type { ManualAnswer, ManualOffer, ManualOptions } from '../manual.js'
export const { offerManually, answerManually } = manualOn(browser.findPeerConnection)

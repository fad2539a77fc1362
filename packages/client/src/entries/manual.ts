// Manual mode: a channel between two peers without any server.
import { manualOn } from '../p2p/manual/manual.js'
import type { ManualAnswer, ManualOffer, ManualOptions } from '../p2p/manual/manual.js'
import { browser } from '../platform/browser.js'

export type { ManualAnswer, ManualOffer, ManualOptions } from '../p2p/manual/manual.js'

const manual = manualOn(browser.findPeerConnection)

/**
 * Begins a channel without any server. People carry the text of the offer to the other side, in a chat or as a QR code
 * (SPEC.md, PP24). Resolves when the text is made, after at most 3 s.
 *
 * @throws TypeError for an unknown option, or an option with a wrong value
 * @throws ConnectError if there is no WebRTC here
 * @throws The reason of `signal`, if that is aborted.
 *
 * @example
 * import { offerManually } from '@peerage/client/manual'
 *
 * const offer = await offerManually()
 * show(offer.text)
 * const channel = await offer.connect(await typed()) // the text of the answer
 */
export function offerManually(options?: ManualOptions): Promise<ManualOffer> {
  return manual.offerManually(options)
}

/**
 * Answers the offer of the other side. Resolves when the text for the other side is made, after at most 3 s.
 *
 * @param offer - The text of the other side's offer. White space in it is ignored.
 * @throws TypeError if the text is not an offer, or for a wrong option
 * @throws ConnectError if there is no WebRTC here
 * @throws The reason of `signal`, if that is aborted.
 *
 * @example
 * import { answerManually } from '@peerage/client/manual'
 *
 * const answer = await answerManually(await typed())
 * show(answer.text)
 * const channel = await answer.channel
 */
export function answerManually(offer: string, options?: ManualOptions): Promise<ManualAnswer> {
  return manual.answerManually(offer, options)
}

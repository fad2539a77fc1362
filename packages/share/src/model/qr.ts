import { encode } from 'uqr'
import type { QrCode } from './world.js'

/** The text as a QR code. This module is loaded when it is needed. */
export function makeQr(text: string): QrCode {
  const code = encode(text, { ecc: 'M', border: 2 })
  const cells = code.data.flatMap((row, y) => row.flatMap((dark, x) => (dark ? `M${x} ${y}h1v1h-1z` : [])))
  return { size: code.size, path: cells.join('') }
}

import type { Wire } from '@peerage/core'
import { asBase } from './kinds.js'
import type { Config } from './schema.js'

/** A wire whose clients present everything in a fixed URL [UW1]. */
export interface UrlWire {
  wire: Wire
  /** The path of its endpoint, such as `/y-webrtc`. */
  path: string
  /** Where clients connect, such as `/y-webrtc/{app}`. */
  pattern: string
  isOn: boolean
  /** The name of its client. */
  client: string
  /** The flag that switches it on, such as `--y-webrtc`. */
  flag: string
  /** What switches it on, such as `yWebrtc.enabled (--y-webrtc)`. */
  setting: string
}

const WIRES = [
  ['y-webrtc', 'yWebrtc', 'y-webrtc', 'y-webrtc', '/{app}', '--y-webrtc'],
  ['webtorrent', 'webtorrent', 'WebTorrent', 'announce', '/{app}', '--webtorrent'],
  ['trystero', 'trystero', 'trystero', 'trystero', '/{app}', '--trystero'],
  ['matchbox', 'matchbox', 'matchbox', 'matchbox', '/{room}?app=', '--matchbox'],
] as const

/** The wires whose clients present everything in a fixed URL, those that are off too. */
export function urlWires(config: Config): UrlWire[] {
  const base = asBase(config.path)
  return WIRES.map(([wire, section, client, below, rest, flag]) => ({
    wire,
    path: base + below,
    pattern: base + below + rest,
    isOn: config[section].enabled,
    client,
    flag,
    setting: `${section}.enabled (${flag})`,
  }))
}

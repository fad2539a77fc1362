import type { Wire } from '@peerage/core'
import type { UrlWire } from '../config/url-wires.js'
import type { UpgradeRefusal } from '../gateway/shared/refuse-upgrade.js'

/** Why no gateway takes an upgrade. */
export interface Unserved {
  /** The wire of the path, if it is off. */
  wire: Wire | 'none'
  refusal: UpgradeRefusal
}

/**
 * Why no gateway takes an upgrade at this path. `endpoints` are the paths of the gateways.
 *
 * @example
 * ```ts
 * unservedAt('/y-webrtc/chat', ['/peerage/'], urlWires(config)).refusal.detail
 * // 'this node does not serve y-webrtc: the setting yWebrtc.enabled (--y-webrtc) switches it on'
 * ```
 */
export function unservedAt(path: string, endpoints: readonly string[], wires: readonly UrlWire[]): Unserved {
  const off = wires.find((wire) => !wire.isOn && isBelow(wire, path))
  if (off !== undefined)
    return { wire: off.wire, refusal: { status: '404 Not Found', reason: 'off', detail: offText(off) } }
  const detail = `no WebSocket endpoint at this path; this node has them at ${endpoints.join(', ')}`
  return { wire: 'none', refusal: { status: '404 Not Found', reason: 'path', detail } }
}

const isBelow = (wire: UrlWire, path: string): boolean =>
  path === wire.path || path.startsWith(`${wire.path}/`)

/** What somebody is told who asks for a wire that is off. */
export const offText = ({ client, setting }: UrlWire): string =>
  `this node does not serve ${client}: the setting ${setting} switches it on`

import type { EndReason } from '../types.js'
import type { WireReason } from './codec.js'

/** What the other side hears when this side ends a file. Undefined: nothing, because it knows or cannot be reached. */
const told: Record<EndReason, WireReason | 'reject' | undefined> = {
  rejected: 'reject',
  'cancelled-here': 'cancelled',
  'cancelled-there': undefined,
  'peer-offline': undefined,
  'self-offline': 'offline',
  'error-here': 'error',
  'error-there': 'error',
  'channel-closed': undefined,
  'too-slow': 'too-slow',
  'first-byte-timeout': 'first-byte-timeout',
  'taken-elsewhere': 'taken-elsewhere',
  'file-changed': 'file-changed',
  stopped: 'stopped',
}

const heard: Record<WireReason, EndReason> = {
  cancelled: 'cancelled-there',
  error: 'error-there',
  'file-changed': 'file-changed',
  'first-byte-timeout': 'first-byte-timeout',
  'too-slow': 'too-slow',
  stopped: 'stopped',
  'taken-elsewhere': 'taken-elsewhere',
  offline: 'peer-offline',
}

export const toldReason = (reason: EndReason): WireReason | 'reject' | undefined => told[reason]

export const heardReason = (reason: WireReason): EndReason => heard[reason]

/** Whether a receiver keeps the blocks that it has, because the same file may be received later [FT15]. */
export function keepsBlocks(reason: EndReason): boolean {
  switch (reason) {
    case 'peer-offline':
    case 'self-offline':
    case 'error-here':
    case 'error-there':
    case 'channel-closed':
    case 'too-slow':
    case 'first-byte-timeout':
      return true
    case 'rejected':
    case 'cancelled-here':
    case 'cancelled-there':
    case 'taken-elsewhere':
    case 'file-changed':
    case 'stopped':
      return false
  }
}

/** Whether the receiver may accept a file again that has ended for this reason. */
export function canAcceptAgain(reason: EndReason): boolean {
  switch (reason) {
    case 'rejected':
    case 'cancelled-here':
    case 'error-here':
    case 'error-there':
    case 'channel-closed':
    case 'too-slow':
    case 'first-byte-timeout':
      return true
    case 'cancelled-there':
    case 'peer-offline':
    case 'self-offline':
    case 'taken-elsewhere':
    case 'file-changed':
    case 'stopped':
      return false
  }
}

/** Whether the sender still has the file, and sends it if the receiver accepts it after all. */
export function canSendAgain(reason: EndReason): boolean {
  switch (reason) {
    case 'rejected':
    case 'cancelled-there':
    case 'error-here':
    case 'error-there':
    case 'channel-closed':
    case 'peer-offline':
    case 'too-slow':
    case 'first-byte-timeout':
      return true
    case 'cancelled-here':
    case 'self-offline':
    case 'taken-elsewhere':
    case 'file-changed':
    case 'stopped':
      return false
  }
}

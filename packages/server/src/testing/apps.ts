import { systemClock, type Clock } from '@peerage/core'
import { createMakeAccess } from '../access/make-access.js'
import { createOutbound } from '../access/outbound.js'
import { Apps } from '../apps/apps.js'
import { configSchema, type ConfigInput } from '../config/schema.js'

/** The apps of settings that a test gives. */
export function appsOf(input: ConfigInput = {}, clock: Clock = systemClock): Apps {
  const onError = (error: unknown): void => {
    throw error
  }
  const makeAccess = createMakeAccess({ clock, outbound: createOutbound({ clock }), onError })
  return new Apps({ config: configSchema.parse(input), makeAccess })
}

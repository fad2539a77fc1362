import { makeAccess } from '../access/make-access.js'
import { Apps } from '../apps/apps.js'
import { configSchema, type ConfigInput } from '../config/schema.js'

/** The apps of settings that a test gives. */
export function appsOf(input: ConfigInput = {}): Apps {
  return new Apps({ config: configSchema.parse(input), makeAccess })
}

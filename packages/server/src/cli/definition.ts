import { checkConfig } from '../config/check.js'
import { configSchema, type Config } from '../config/schema.js'
import { leavesOf } from '../config/settings.js'
import { stunSchema, type StunConfig } from '../config/stun.js'
import type { LoadOptions } from './load.js'

export const nodeOptions: LoadOptions<Config> = {
  prefix: 'PEERAGE_',
  definition: { schema: configSchema, leaves: leavesOf(configSchema, 'PEERAGE_'), check: checkConfig },
}

export const stunOptions: LoadOptions<StunConfig> = {
  prefix: 'PEERAGE_STUN_',
  definition: { schema: stunSchema, leaves: leavesOf(stunSchema, 'PEERAGE_STUN_'), check: () => [] },
}

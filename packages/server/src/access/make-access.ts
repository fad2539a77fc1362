import type { MakeAccess } from './app-access.js'
import { staticAccess } from './static-access.js'
import { tokenAccess, type TokenAccessOptions } from './token-access.js'
import { webhookAccess, type WebhookAccessOptions } from './webhook-access.js'

export type AccessOptions = TokenAccessOptions & WebhookAccessOptions

/**
 * Makes the access rules of apps, as their settings say. Nothing starts before the first peer comes. What it returns
 * throws TypeError for settings that cannot work.
 */
export function createMakeAccess(options: AccessOptions): MakeAccess {
  return (app, settings) => {
    switch (settings.mode) {
      case 'open':
      case 'key':
        return staticAccess(app, settings)
      case 'token':
        return tokenAccess(app, settings.token, options)
      case 'webhook':
        return webhookAccess(app, settings.webhook, options)
    }
  }
}

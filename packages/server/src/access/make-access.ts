import type { MakeAccess } from './app-access.js'
import { staticAccess } from './static-access.js'

/** Makes the access rule of an app, as its settings say. */
export const makeAccess: MakeAccess = (app, settings) => {
  switch (settings.mode) {
    case 'open':
    case 'key':
      return staticAccess(app, settings)
    case 'token':
    case 'webhook':
      throw new TypeError(`access.mode: ${settings.mode} does not work yet in this build`)
  }
}

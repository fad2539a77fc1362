import type { Features, TabMemory, World } from './model/world.js'
import { ConnectionFailure } from './model/world.js'
import { isGuest } from './is-guest.js'

// What the page finds in this browser and in this tab. What it needs once it is connected is loaded beside it, so that
// the page is drawn early.

const loadConnection = () => import('./real-connection.js')

export function realWorld(): World {
  const loading = loadConnection()
  // `connect` reports the failure.
  loading.catch((error: unknown) => console.warn(error))
  // The view that shows them says so if they are missing.
  if (isGuest()) import('./views/session-views.js').catch((error: unknown) => console.warn(error))
  return {
    href: location.href,
    features: featuresHere(),
    memory: tabMemory(),
    languages: navigator.languages,
    connect: async (signal) => {
      const { connected } = await loading.catch((error: unknown) => {
        throw new ConnectionFailure('not-loaded', { cause: error })
      })
      return connected(signal)
    },
    codes: async () => (await import('./real-codes.js')).codes(),
    qr: async (text) => (await import('./model/qr.js')).makeQr(text),
    go: (href) => {
      // If only the fragment differs, the listener of `hashchange` in main.tsx loads the page again.
      if (href === location.href) location.reload()
      else location.assign(href)
    },
  }
}

function featuresHere(): Features {
  const isTouch = matchMedia('(pointer: coarse)').matches
  return {
    isSecure: isSecureContext,
    isLoopback: /^(?:localhost|.*\.localhost|127(?:\.\d+){3}|\[::1\])$/.test(location.hostname),
    canShare: typeof navigator.share === 'function',
    // Phones show the button, and then let nobody pick a folder.
    canPickFolder: 'webkitdirectory' in document.createElement('input') && !isTouch,
    isTouch,
  }
}

/** Without `sessionStorage`, which a browser may refuse, what is remembered ends with a reload. */
function tabMemory(): TabMemory {
  const own = new Map<string, string>()
  const storage = (): Storage | undefined => {
    try {
      return sessionStorage
    } catch (error) {
      console.info('this tab remembers nothing over a reload', error)
      return undefined
    }
  }
  const found = storage()
  return {
    get: (key) => found?.getItem(key) ?? own.get(key),
    set: (key, value) => {
      own.set(key, value)
      try {
        found?.setItem(key, value)
      } catch (error) {
        // It is full, such as with the names of thousands of files.
        console.warn('this will not be remembered over a reload', error)
        found?.removeItem(key)
      }
    },
    remove: (key) => {
      own.delete(key)
      found?.removeItem(key)
    },
  }
}

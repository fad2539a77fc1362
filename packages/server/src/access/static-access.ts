import type { Wire } from '@peerage/core'
import type { App } from '@peerage/protocol'
import { sameSecret, type AccessDecision } from '../gateway/shared/access.js'
import type { AccessSettings, AppAccess } from './app-access.js'

type StaticSettings = Extract<AccessSettings, { mode: 'open' | 'key' }>

/** Who presents the shared key of an app. All of them are one, because nothing tells them apart. */
const SHARED_IDENTITY = 'shared-key'

/** The access rules that need nothing beyond the settings: everybody may come in, or those with the shared key. */
export function staticAccess(app: App, settings: StaticSettings): AppAccess {
  const keys = settings.mode === 'open' ? undefined : keysOf(settings)
  return {
    admit: ({ token, wire }) => Promise.resolve(decide(app, keys, { token, wire })),
    stop() {},
  }
}

function keysOf({ key, previousKey }: Extract<StaticSettings, { mode: 'key' }>): string[] {
  return previousKey === null ? [key] : [key, previousKey]
}

function decide(
  app: App,
  keys: readonly string[] | undefined,
  { token, wire }: { token: string | undefined; wire: Wire },
): AccessDecision {
  if (keys === undefined) return { ok: true, app }
  // All keys are compared, so that the time does not tell which one is right.
  const isRight = token !== undefined && keys.filter((key) => sameSecret(key, token)).length > 0
  if (isRight) return { ok: true, app, identity: SHARED_IDENTITY }
  return { ok: false, code: 'forbidden', detail: wrongKey(wire) }
}

/** Says it in the words of the wire's documentation. */
function wrongKey(wire: Wire): string {
  switch (wire) {
    case 'native':
    case 'peerjs':
      return 'the token is missing or wrong'
    case 'y-webrtc':
    case 'webtorrent':
    case 'trystero':
    case 'matchbox':
      return 'the key is missing or wrong: the URL needs it, as ?key=…'
  }
}

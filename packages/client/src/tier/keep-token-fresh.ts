import type { Modules } from '../platform/modules.js'
import type { Session } from './session.js'

/** Renews the access token before it ends [WL10]. The code for that is loaded when a node first says that a token ends. */
export function keepTokenFresh(session: Session, modules: Modules): void {
  const { clock, tokens } = session
  if (tokens === undefined) return
  const closed = new AbortController()
  session.onClosed(() => closed.abort())
  let renewal: Promise<unknown> | undefined
  session.onWelcome(() => {
    if (session.welcome.tokenMs === undefined) return
    renewal ??= modules.renewal({ clock, signal: closed.signal }).then(
      ({ Renewal }) => new Renewal(session, tokens),
      // The node ends this connection with its token. The next one has a fresh token, and loads again.
      (error: unknown) => {
        renewal = undefined
        if (!closed.signal.aborted) session.events.fail(error, 'token')
      },
    )
  })
}

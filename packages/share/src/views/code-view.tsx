import type { ShareHost } from '@peerage/client/transfer'
import { useWords } from '../words/words.js'
import { useModel } from './hooks.js'

/** The code that a person says aloud. */
export function CodeView({ host }: { host: ShareHost }) {
  const words = useWords()
  const model = useModel()
  const { code } = host
  const note = host.hasPassword && <p class="hint">{words.codeNeedsNoPassword}</p>
  if (code.name === 'none')
    return (
      <div class="stack">
        <button type="button" class="quiet" onClick={() => model.showCode(host)}>
          {words.showCode}
        </button>
        {note}
      </div>
    )
  const address = new URL(model.base)
  return (
    <div class="code" role="status" data-code={code.name}>
      <h3>{words.codeHeading}</h3>
      {code.name === 'making' && <p class="soft">{words.codeMaking}</p>}
      {code.name === 'ready' && (
        <>
          <p class="code-words" lang="en">
            {code.code}
          </p>
          <p class="soft">
            {words.codeLead(`${address.host}${address.pathname === '/' ? '' : address.pathname}`)}
          </p>
          {note}
        </>
      )}
      {code.name === 'burnt' && <p class="why">{words.codeBurnt}</p>}
      {code.name === 'used' && <p class="soft">{words.codeUsed}</p>}
      {code.name === 'failed' && <p class="why">{words.codeFailed}</p>}
      <div class="row wrap">
        {code.name !== 'making' && code.name !== 'ready' && (
          <button type="button" class="quiet" onClick={() => model.showCode(host)}>
            {words.newCode}
          </button>
        )}
        {code.name === 'ready' && (
          <button type="button" class="quiet" onClick={() => host.dropCode()}>
            {words.hideCode}
          </button>
        )}
      </div>
    </div>
  )
}

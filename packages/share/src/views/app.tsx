import type { ShareLink, ShareSession } from '@peerage/client/transfer'
import { useEffect, useState } from 'preact/hooks'
import type { PageModel } from '../model/page-model.js'
import type { Banner, Problem } from '../model/screen.js'
import type { Language } from '../words/words.js'
import {
  LANGUAGES,
  WordsContext,
  languageNames,
  loadWords,
  preferredLanguage,
  useWords,
} from '../words/words.js'
import { english } from '../words/en.js'
import type { Words } from '../words/words.js'
import { CodeForm, PasswordForm } from './forms.js'
import { ModelContext, useChanges, useModel } from './hooks.js'
import { HostView } from './host-view.js'
import { useSessionViews } from './late-views.js'
import { Notice } from './notice.js'
import { WindowEvents } from './window-events.js'

const LANGUAGE = 'peerage-share-language'

export function App({ model }: { model: PageModel }) {
  const remembered = model.world.memory.get(LANGUAGE)
  const [language, setLanguage] = useState<Language>(
    LANGUAGES.find((one) => one === remembered) ?? preferredLanguage(model.world.languages),
  )
  // Undefined until the texts of the person's language are there.
  const [words, setWords] = useState<Words | undefined>(language === 'en' ? english : undefined)
  useEffect(() => {
    let isWanted = true
    loadWords(language).then(
      (loaded) => isWanted && setWords(loaded),
      (error: unknown) => {
        if (isWanted) setWords((before) => before ?? english)
        model.tellMissing(error)
      },
    )
    return () => {
      isWanted = false
    }
  }, [language])
  useEffect(() => {
    if (words === undefined) return
    document.documentElement.lang = words.language
    document.title = words.title
  }, [words])
  if (words === undefined) return null
  return (
    <ModelContext.Provider value={model}>
      <WordsContext.Provider value={words}>
        <a class="skip" href="#content">
          {words.skip}
        </a>
        <Header
          language={language}
          onLanguage={(chosen) => {
            model.world.memory.set(LANGUAGE, chosen)
            setLanguage(chosen)
          }}
        />
        <main id="content" tabIndex={-1}>
          <BannerView />
          <ScreenView />
        </main>
        <Footer />
        <WindowEvents />
      </WordsContext.Provider>
    </ModelContext.Provider>
  )
}

function Header({ language, onLanguage }: { language: Language; onLanguage: (language: Language) => void }) {
  const words = useWords()
  const model = useModel()
  useChanges(model)
  const { name } = model.screen
  return (
    <header class="top">
      <p class="brand">{words.title}</p>
      <div class="top-actions">
        {name === 'host' && (
          <button type="button" class="quiet" onClick={() => model.showCodeForm()}>
            {words.haveCode}
          </button>
        )}
        <label class="language">
          <span class="unseen">{words.languageLabel}</span>
          <select
            value={language}
            onChange={(event) => {
              const chosen = LANGUAGES.find((one) => one === event.currentTarget.value)
              if (chosen !== undefined) onLanguage(chosen)
            }}
          >
            {LANGUAGES.map((one) => (
              <option key={one} value={one} lang={one === 'zh' ? 'zh-CN' : one}>
                {languageNames[one]}
              </option>
            ))}
          </select>
        </label>
      </div>
    </header>
  )
}

function ScreenView() {
  const model = useModel()
  useChanges(model)
  const { screen } = model
  switch (screen.name) {
    case 'starting':
      return <Starting />
    case 'host':
      return <HostView host={screen.host} notice={screen.notice} />
    case 'guest':
      return <GuestScreen session={screen.session} to={screen.to} />
    case 'code':
      return <CodeForm />
    case 'password':
      return <PasswordForm {...screen} />
    case 'problem':
      return <ProblemView problem={screen.problem} />
  }
}

function GuestScreen(props: { session: ShareSession; to: ShareLink | string }) {
  const views = useSessionViews()
  if (views === undefined) return <Starting />
  const { GuestView } = views
  return <GuestView {...props} />
}

function Starting() {
  const { states, title } = useWords()
  return (
    <>
      <h1 class="unseen">{title}</h1>
      <p class="status" role="status" data-state="waiting">
        <span class="dot" aria-hidden="true" />
        {states.starting}
      </p>
    </>
  )
}

/** What is said above everything else. */
function BannerView() {
  const model = useModel()
  const { states } = useWords()
  useChanges(model)
  const { banner } = model
  if (banner === undefined) return null
  if (banner === 'serverLost')
    return (
      <p class="banner" role="status">
        {states.serverLost}
      </p>
    )
  const { title, text } = states[banner]
  const reload = { text: states.reload, onClick: () => model.reload() }
  return (
    <Notice tone={toneOf(banner)} title={title} text={text} action={canReload(banner) ? reload : undefined} />
  )
}

const toneOf = (banner: Exclude<Banner, 'serverLost'>): 'bad' | 'mild' => (canReload(banner) ? 'bad' : 'mild')
const canReload = (banner: Banner): boolean => banner !== 'noWebRtc' && banner !== 'p2pOff'

function ProblemView({ problem }: { problem: Problem }) {
  const model = useModel()
  const { states } = useWords()
  const { title, text } = states[problem]
  const mustReload = problem === 'otherVersion' || problem === 'notLoaded'
  const isLink = ['badName', 'missingFragment', 'cutFragment', 'extraFragment', 'otherVersion'].includes(
    problem,
  )
  return (
    <Notice
      tone="bad"
      isMain
      title={title}
      text={text}
      action={{
        text: mustReload ? states.reload : isLink ? states.startOwn : states.tryAgain,
        onClick: () => (isLink && !mustReload ? model.startOwn() : model.reload()),
      }}
    />
  )
}

function Footer() {
  const words = useWords()
  return (
    <footer>
      <details>
        <summary>{words.privateHeading}</summary>
        <div class="prose">
          {words.privateText.map((paragraph) => (
            <p key={paragraph}>{paragraph}</p>
          ))}
          <p>{words.terminalHint}</p>
        </div>
      </details>
    </footer>
  )
}

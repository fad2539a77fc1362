import { render } from 'preact'
import { PageModel } from '../model/page-model.js'
import { App } from '../views/app.js'
import { fakeWorld } from './fake-world.js'
import { demoStates } from './states.js'
import '../style/all.css'

// The page in the state that the address names: `?state=guest-offer`. Without a name, it lists all states.

const page = document.getElementById('page')
if (page === null) throw new Error('the page has no #page element')
const state = demoStates[new URLSearchParams(location.search).get('state') ?? '']
document.documentElement.dataset['states'] = Object.keys(demoStates).join(' ')
if (state !== undefined) {
  const demo = state()
  const model = new PageModel(fakeWorld(demo, navigator.languages))
  render(<App model={model} />, page)
  await model.start()
  if (demo.isCodeForm === true) model.showCodeForm()
  if (demo.password !== undefined && model.screen.name === 'password')
    await model.join(model.screen.link, demo.password)
}

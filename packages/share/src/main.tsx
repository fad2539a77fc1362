import { render } from 'preact'
import { PageModel } from './model/page-model.js'
import { realWorld } from './real-world.js'
import { App } from './views/app.js'
import './style/all.css'

const page = document.getElementById('page')
if (page === null) throw new Error('the page has no #page element')
const model = new PageModel(realWorld())
render(<App model={model} />, page)
// The secret of a link comes after the #. A browser does not load the page again if only this part is another one.
addEventListener('hashchange', () => location.reload())
await model.start()

// What is needed later is loaded when nothing else is to do, so that it is there even if the server changes meanwhile.
const preload = (): void => {
  Promise.all([
    model.loadRest(),
    import('./views/session-views.js'),
    import('./model/qr.js'),
    import('./real-codes.js').then(({ codes }) => codes()),
    import('./storage/zip-place.js'),
    import('./words/zh.js'),
  ]).catch((error: unknown) => console.info('a part of the page was not loaded ahead', error))
}
if ('requestIdleCallback' in window) requestIdleCallback(preload)
else setTimeout(preload, 2_000)

import { render } from 'preact'
import { PageModel } from './model/page-model.js'
import { realWorld } from './real-world.js'
import { App } from './views/app.js'
import './style/all.css'

const page = document.getElementById('page')
if (page === null) throw new Error('the page has no #page element')
const model = new PageModel(realWorld())
render(<App model={model} />, page)
await model.start()

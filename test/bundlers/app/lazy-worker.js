import * as sdk from '@peerage/client'
import { work } from './work.js'

addEventListener('message', ({ data, source }) => void answer(data, source))

async function answer(tier, page) {
  page.postMessage(await work(sdk, tier).catch((error) => `${error.code}: ${error.message}`), [])
}

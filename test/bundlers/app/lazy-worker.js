import * as sdk from '@peerage/client'
import { work } from './work.js'

addEventListener('message', ({ data, source }) => void answer(data, source))

async function answer(nodeUrl, page) {
  page.postMessage(await work(sdk, nodeUrl).catch((error) => `${error.code}: ${error.message}`), [])
}

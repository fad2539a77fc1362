import * as sdk from '@peerage/client'
import { work } from './work.js'

async function main() {
  const nodeUrl = new URLSearchParams(location.search).get('node')
  document.title = `RESULT ${await work(sdk, nodeUrl).catch(String)}`
}
void main()

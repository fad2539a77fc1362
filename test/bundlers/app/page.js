import * as sdk from '@peerage/client'
import { work } from './work.js'

async function main() {
  const tier = new URLSearchParams(location.search).get('tier')
  document.title = `RESULT ${await work(sdk, tier).catch(String)}`
}
void main()

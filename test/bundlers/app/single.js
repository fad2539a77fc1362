import * as sdk from '@peerage/client/static'
import { work } from './work.js'

async function main() {
  console.log('RESULT', await work(sdk, process.env.TIER).catch(String))
}
void main()

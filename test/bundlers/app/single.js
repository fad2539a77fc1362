import * as sdk from '@peerage/client/static'
import { work } from './work.js'

async function main() {
  console.log('RESULT', await work(sdk, process.env.SERVER_URL).catch(String))
}
void main()

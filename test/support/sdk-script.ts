import { rolldown } from 'rolldown'
import { REPOSITORY } from './node.js'

/** The SDK as one script that defines `sdk`, as an application's bundler would build it. */
export async function sdkScript(): Promise<string> {
  const built = await rolldown({
    input: `${REPOSITORY}packages/client/src/entries/browser.ts`,
    platform: 'browser',
    resolve: {
      conditionNames: ['@peerage/source', 'browser', 'import', 'default'],
      extensionAlias: { '.js': ['.ts', '.js'] },
    },
    external: [/^node:/],
    logLevel: 'silent',
  })
  const { output } = await built.generate({ format: 'iife', name: 'sdk', codeSplitting: false })
  return output[0].code
}

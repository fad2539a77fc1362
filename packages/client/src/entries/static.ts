// The SDK for browsers without dynamic imports.
import { connectOn } from '../connect.js'
import { browser } from '../platform/browser.js'
import { staticModules } from '../platform/static-modules.js'

export * from '../index.js'

/** The types of every entry are those of browser.ts. */
/** See browser.ts, whose types are those of every entry. */
export const connect = connectOn.bind(undefined, browser, staticModules)

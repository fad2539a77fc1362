// The SDK for browsers without any dynamic import.
import { connectOn } from '../connect.js'
import { browser } from '../platform/browser.js'
import { staticParts } from '../platform/static-parts.js'

export * from '../index.js'

/** The types of every entry are those of browser.ts. */
export const connect = connectOn.bind(undefined, browser, staticParts)

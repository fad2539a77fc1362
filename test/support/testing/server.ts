// What tests of several packages need of the inside of @peerage/server. The package does not publish it.
export * from '../../../packages/server/src/testing/index.js'

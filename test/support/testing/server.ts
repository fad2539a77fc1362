// Internals of @peerage/server that tests of several packages need. The package does not publish them.
export * from '../../../packages/server/src/testing/index.js'

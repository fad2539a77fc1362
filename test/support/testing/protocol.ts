// Internals of @peerage/protocol that tests of several packages need. The package does not publish them.
export * from '../../../packages/protocol/src/testing/index.js'

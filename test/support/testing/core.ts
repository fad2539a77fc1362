// Internals of @peerage/core that tests of several packages need. The package does not publish them.
export * from '../../../packages/core/src/testing/index.js'

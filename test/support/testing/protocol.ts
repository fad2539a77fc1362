// What tests of several packages need of the inside of @peerage/protocol. The package does not publish it.
export * from '../../../packages/protocol/src/testing/index.js'

// What tests of several packages need of the inside of @peerage/core. The package does not publish it.
export * from '../../../packages/core/src/testing/index.js'

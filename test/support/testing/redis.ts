// What tests of several packages need of the inside of @peerage/redis. The package does not publish it.
export * from '../../../packages/redis/src/testing/index.js'

// What tests of several packages need of the inside of this one. Not published.
export { RedisBus } from '../bus.js'
export { RedisRegistry } from '../registry.js'

// Internals that tests of several packages need. Not published.
export { RedisBus } from '../bus.js'
export { RedisRegistry } from '../registry.js'

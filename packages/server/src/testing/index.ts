// Internals of this package that tests of several packages need. Not published.
export { nodeDefinition } from '../config/check.js'
export { resolve } from '../config/load.js'
export { type Config, configSchema } from '../config/schema.js'
export { readEnvironment, readYaml } from '../config/sources.js'
export { createLogger } from '../metrics/log.js'
export { PAGE_CSP } from '../http/page.js'
export { PeerageServer } from '../server.js'
export { serveBuiltPage } from './page-server.js'

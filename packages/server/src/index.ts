export { defaultConfig, type Config, type ConfigInput } from './config.js'

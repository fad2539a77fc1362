import type { World } from './model/world.js'
export function realWorld(): World { throw new Error('not yet') }

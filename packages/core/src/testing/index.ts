export * from './cluster.js'
export * from './fake-clock.js'
export * from './faulty-bus.js'

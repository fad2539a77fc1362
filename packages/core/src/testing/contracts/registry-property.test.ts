import { memoryContractCluster, quick } from '../cluster.js'
import { registryProperty } from './registry-property.js'

registryProperty('memory', memoryContractCluster, { runs: 300, steps: 60, pace: quick, clockSteps: true })

import { redisContracts } from './redis-contracts.js'

redisContracts('standalone')

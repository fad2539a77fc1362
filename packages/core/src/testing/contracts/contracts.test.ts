import { busContract } from './bus-contract.js'
import { memoryContractCluster } from '../cluster.js'
import { answersContract } from './answers-contract.js'
import { indexContract } from './index-contract.js'
import { mailboxContract } from './mailbox-contract.js'
import { nodesContract } from './nodes-contract.js'
import { poolsContract } from './pools-contract.js'
import { presenceContract } from './presence-contract.js'
import { recordsContract } from './records-contract.js'
import { registryContract } from './registry-contract.js'
import { roomsContract } from './rooms-contract.js'
import { seatsContract } from './seats-contract.js'

registryContract('memory', memoryContractCluster)
nodesContract('memory', memoryContractCluster)
busContract('memory', memoryContractCluster)
mailboxContract('memory', memoryContractCluster)
presenceContract('memory', memoryContractCluster)
indexContract('memory', memoryContractCluster)
recordsContract('memory', memoryContractCluster)
answersContract('memory', memoryContractCluster)
roomsContract('memory', memoryContractCluster)
poolsContract('memory', memoryContractCluster)
seatsContract('memory', memoryContractCluster)

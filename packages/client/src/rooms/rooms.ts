// The part of the SDK that is loaded when the application first joins a room.
export { Mesh } from './mesh.js'
export type { MeshEvents } from './mesh.js'
export { Room } from './room.js'
export type { RoomEvents, RoomMember } from './room.js'

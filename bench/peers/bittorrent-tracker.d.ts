/** bittorrent-tracker has no types of its own. These are the parts that the bench uses. */
declare module 'bittorrent-tracker/server' {
  import type { EventEmitter } from 'node:events'
  import type { WebSocketServer } from 'ws'

  export default class Server extends EventEmitter {
    constructor(options: { udp: boolean; http: boolean; ws: boolean; stats: boolean })
    readonly ws: WebSocketServer
    listen(port: number, host: string): void
  }
}

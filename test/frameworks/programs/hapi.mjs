import Hapi from '@hapi/hapi'
import { HELLO, after, before, open, ownWebSockets } from './common.mjs'

const app = Hapi.server({ port: 0, host: 'localhost' })
app.route({ method: 'GET', path: '/hello', handler: () => HELLO })
before(app.listener)
ownWebSockets(app.listener)
after(app.listener)
await app.start()
open(app.listener, () => app.stop())

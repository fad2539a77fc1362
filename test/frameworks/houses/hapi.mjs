import Hapi from '@hapi/hapi'
import { HELLO, open, ownWebSockets, peerage } from './common.mjs'

const app = Hapi.server({ port: 0, host: 'localhost' })
app.route({ method: 'GET', path: '/hello', handler: () => HELLO })
peerage.attach(app.listener)
ownWebSockets(app.listener)
await app.start()
open(app.listener, () => app.stop())

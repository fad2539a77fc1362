// Decorators are called as functions, because this file is not compiled.
import 'reflect-metadata'
import { Controller, Get, Module } from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import { HELLO, after, before, open, ownWebSockets } from './common.mjs'

class Hello {
  hello() {
    return HELLO
  }
}
Controller()(Hello)
Get('hello')(Hello.prototype, 'hello', Object.getOwnPropertyDescriptor(Hello.prototype, 'hello'))
function App() {}
Module({ controllers: [Hello] })(App)

const app = await NestFactory.create(App, { logger: ['error'] })
const server = app.getHttpServer()
before(server)
ownWebSockets(server)
after(server)
await app.listen(0, 'localhost')
open(server, () => app.close())

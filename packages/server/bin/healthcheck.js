#!/usr/bin/env node
// For containers without a shell. Exits with 0 when the target is alive, else with 1.
//   healthcheck.js http://127.0.0.1:9000/healthz   a node (or https: the certificate is for other names, so it is not checked)
//   healthcheck.js stun:127.0.0.1:9901             a P2P server, asked with one Binding request (RFC 8489 §5)
import { createSocket } from 'node:dgram'
import { randomBytes } from 'node:crypto'
import { request as requestHttp } from 'node:http'
import { request as requestHttps } from 'node:https'

/** Shorter than the deadline of the container engine, so that this program prints the reason. */
const DEADLINE_MS = 2_500
const MAGIC_COOKIE = 0x2112a442
const BINDING_REQUEST = 0x0001
const BINDING_SUCCESS = 0x0101

function askHttp(url) {
  const request = url.startsWith('https:') ? requestHttps : requestHttp
  return new Promise((resolve, reject) => {
    request(url, { rejectUnauthorized: false, agent: false }, (response) => {
      response.resume()
      if (response.statusCode === 200) resolve()
      else reject(new Error(`answered ${response.statusCode}`))
    })
      .on('error', reject)
      .end()
  })
}

function askStun(host, port) {
  const transaction = randomBytes(12)
  const header = Buffer.alloc(8)
  header.writeUInt16BE(BINDING_REQUEST, 0)
  header.writeUInt32BE(MAGIC_COOKIE, 4)
  const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4')
  return new Promise((resolve, reject) => {
    socket.on('error', reject)
    socket.on('message', (answer) => {
      const isOurs = answer.length >= 20 && answer.subarray(8, 20).equals(transaction)
      if (isOurs && answer.readUInt16BE(0) === BINDING_SUCCESS) resolve()
    })
    socket.send(Buffer.concat([header, transaction]), port, host)
  })
}

function ask(target) {
  if (/^https?:/.test(target)) return askHttp(target)
  const [, host, port] = /^stun:\[?([^\]]+?)\]?:(\d+)$/.exec(target) ?? []
  if (host === undefined) return Promise.reject(new Error('give http://…, https://… or stun:host:port'))
  return askStun(host, Number(port))
}

const target = process.argv[2] ?? 'http://127.0.0.1:9000/healthz'
const late = new Promise((_, reject) => {
  setTimeout(() => reject(new Error(`no answer within ${DEADLINE_MS} ms`)), DEADLINE_MS)
})
try {
  await Promise.race([ask(target), late])
  process.exit(0)
} catch (error) {
  process.stderr.write(`${target}: ${error instanceof Error ? error.message : String(error)}\n`)
  process.exit(1)
}

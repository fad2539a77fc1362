import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { findTool, type Tool } from './binary.js'
import { makeDirectory, removeDirectory } from './fixture.js'
import { run } from './process.js'

const OPENSSL: Tool = { name: 'openssl', binaries: ['openssl'], debianPackage: 'openssl' }
// Long enough for any run, and for a run under faketime an hour away.
const VALID_DAYS = '2'

/** Paths of PEM files. */
export interface Certificates {
  /** The authority that signed `cert`. Only a process that is given this file trusts it. */
  ca: string
  /** For 127.0.0.1, ::1 and localhost. */
  cert: string
  key: string
  /** `cert` and `key` in one file, for HAProxy. */
  pem: string
  remove(): Promise<void>
}

/** Makes a certificate authority and a server certificate with openssl. */
export async function makeCertificates(names: readonly string[] = []): Promise<Certificates> {
  const { path: openssl } = await findTool(OPENSSL)
  const directory = await makeDirectory('tls')
  const file = (name: string): string => join(directory, name)
  const subjects = ['IP:127.0.0.1', 'IP:::1', 'DNS:localhost', ...names].join(',')
  await writeFile(file('extensions'), `subjectAltName=${subjects}\nbasicConstraints=CA:FALSE\n`)
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']

  const authority = ['-keyout', file('ca.key'), '-out', file('ca.pem'), '-subj', '/CN=Peerage tests']
  await run(openssl, ['req', '-x509', ...key, ...authority, '-days', VALID_DAYS])
  const request = ['-keyout', file('key.pem'), '-out', file('request.pem'), '-subj', '/CN=localhost']
  await run(openssl, ['req', ...key, ...request])
  const signer = ['-CA', file('ca.pem'), '-CAkey', file('ca.key'), '-CAcreateserial', '-days', VALID_DAYS]
  const signed = ['-in', file('request.pem'), '-out', file('cert.pem'), '-extfile', file('extensions')]
  await run(openssl, ['x509', '-req', ...signed, ...signer])
  await run('sh', ['-c', 'cat "$1" "$2" > "$3"', 'join', file('cert.pem'), file('key.pem'), file('both.pem')])

  return {
    ca: file('ca.pem'),
    cert: file('cert.pem'),
    key: file('key.pem'),
    pem: file('both.pem'),
    remove: () => removeDirectory(directory),
  }
}

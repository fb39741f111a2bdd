/** Debian's docker-registry on loopback with TLS and a password, for one test run. */
import { execFileSync, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { bcrypt, findTool } from './tools.ts'

export interface TestRegistry extends AsyncDisposable {
  /** `localhost:port` */
  readonly host: string
  readonly directory: string
  readonly caFile: string
  readonly ca: string
  readonly user: string
  readonly password: string
  /** Docker configuration with the password. */
  readonly dockerConfig: string
}

/** Starts it on a free port and waits until it answers. */
export async function startRegistry(): Promise<TestRegistry> {
  const directory = mkdtempSync(join(tmpdir(), 'cloister-registry-'))
  const port = await freePort()
  const host = `localhost:${port}`
  const [user, password] = ['puller', randomBytes(12).toString('hex')]
  makeCertificate(directory)
  writeFileSync(join(directory, 'htpasswd'), `${user}:${bcrypt(password)}\n`)
  writeFileSync(join(directory, 'config.yml'), configuration(directory, port))
  const child = spawn(findTool('docker-registry')!, ['serve', join(directory, 'config.yml')], {
    stdio: 'ignore',
  })
  await waitForPort(port)
  const auth = Buffer.from(`${user}:${password}`).toString('base64')
  const dockerConfig = JSON.stringify({ auths: { [host]: { auth } } })
  writeFileSync(join(directory, 'config.json'), dockerConfig)
  const caFile = join(directory, 'tls.crt')
  return {
    host,
    directory,
    caFile,
    ca: readFileSync(caFile, 'utf8'),
    user,
    password,
    dockerConfig,
    async [Symbol.asyncDispose]() {
      const ended = new Promise((resolve) => child.once('exit', resolve))
      child.kill('SIGKILL')
      await ended
      rmSync(directory, { recursive: true, force: true })
    },
  }
}

/** A self-signed certificate for localhost: its own authority. */
export function makeCertificate(directory: string): void {
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']
  const files = ['-keyout', join(directory, 'tls.key'), '-out', join(directory, 'tls.crt')]
  const name = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1']
  execFileSync('openssl', ['req', '-x509', '-days', '2', ...key, ...files, ...name], {
    stdio: 'ignore',
  })
}

function configuration(directory: string, port: number): string {
  return `version: 0.1
log: { level: error }
storage: { filesystem: { rootdirectory: ${directory}/data } }
http:
  addr: 127.0.0.1:${port}
  tls: { certificate: ${directory}/tls.crt, key: ${directory}/tls.key }
auth: { htpasswd: { realm: test, path: ${directory}/htpasswd } }
`
}

/** A port of loopback that nobody listened on just now. */
export async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  if (address === null || typeof address === 'string') throw new Error('no port')
  return address.port
}

async function waitForPort(port: number): Promise<void> {
  for (let attempt = 0; attempt < 100; attempt++) {
    const isOpen = await new Promise((resolve) => {
      const socket = connect(port, '127.0.0.1', () => resolve(true))
      socket.once('error', () => resolve(false))
      socket.once('connect', () => socket.destroy())
    })
    if (isOpen === true) return
    await delay(100)
  }
  throw new Error('the registry does not start')
}

/**
 * Tests only: a real TPM, swtpm with a state of its own, reached over its socket. Its EK certificates come from a CA that
 * swtpm_localca makes beside the state.
 */
import { execFile, spawn } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { encodeTpmCommand } from '../tpm/command.ts'
import type { TpmDevice } from '../tpm/device.ts'

const run = promisify(execFile)
const START_MS = 10_000
const HEADER_BYTES = 10
/** That swtpm holds at once. */
const TRANSIENT_OBJECTS = 3

export interface Swtpm extends AsyncDisposable {
  readonly directory: string
  /** For tpm2-tools: `TPM2TOOLS_TCTI`. It takes one client at a time. */
  readonly tcti: string
  /** The CA of its EK certificate, PEM: what issued it, and the root. */
  readonly issuers: readonly string[]
  open(): Promise<TpmDevice>
}

export interface SwtpmOptions {
  /** Absent: `sha256,sha384`. */
  readonly banks?: string
  /** Whether it gets EK certificates; absent: yes. */
  readonly certified?: boolean
}

export async function startSwtpm(options: SwtpmOptions = {}): Promise<Swtpm> {
  const directory = await mkdtemp(join(tmpdir(), 'cloister-swtpm-'))
  const { banks = 'sha256,sha384', certified = true } = options
  try {
    await manufacture(directory, banks, certified)
    const socket = join(directory, 'server.sock')
    const child = spawn(
      'swtpm',
      [
        'socket',
        '--tpm2',
        '--tpmstate',
        `dir=${directory}`,
        '--server',
        `type=unixio,path=${socket}`,
        '--ctrl',
        `type=unixio,path=${socket}.ctrl`,
        '--flags',
        'not-need-init,startup-clear',
      ],
      { stdio: 'ignore' },
    )
    const exited = once(child, 'exit')
    ;(await connected(socket)).destroy()
    return {
      directory,
      tcti: `swtpm:path=${socket}`,
      issuers: certified ? await readIssuers(directory) : [],
      open: async () => emptied(streamDevice(await connected(socket))),
      [Symbol.asyncDispose]: async () => {
        child.kill()
        await exited
        await rm(directory, { recursive: true })
      },
    }
  } catch (error) {
    await rm(directory, { recursive: true })
    throw error
  }
}

async function manufacture(directory: string, banks: string, certified: boolean): Promise<void> {
  const file = (name: string) => join(directory, name)
  await writeFile(
    file('localca.conf'),
    [
      `statedir = ${directory}`,
      `signingkey = ${file('signkey.pem')}`,
      `issuercert = ${file('issuercert.pem')}`,
      `certserial = ${file('certserial')}`,
      '',
    ].join('\n'),
  )
  await writeFile(file('localca.options'), '--platform-manufacturer Test\n--platform-version 1\n')
  await writeFile(
    file('setup.conf'),
    [
      'create_certs_tool = /usr/bin/swtpm_localca',
      `create_certs_tool_config = ${file('localca.conf')}`,
      `create_certs_tool_options = ${file('localca.options')}`,
      '',
    ].join('\n'),
  )
  const certificates = certified ? ['--create-ek-cert'] : []
  await run('swtpm_setup', [
    '--tpm2',
    '--tpmstate',
    directory,
    '--config',
    file('setup.conf'),
    '--pcr-banks',
    banks,
    ...certificates,
  ])
}

/** swtpm_localca makes an issuer, and a root for it. */
async function readIssuers(directory: string): Promise<readonly string[]> {
  const names = ['issuercert.pem', 'swtpm-localca-rootca-cert.pem']
  return Promise.all(names.map((name) => readFile(join(directory, name), 'utf8')))
}

async function connected(path: string): Promise<Socket> {
  const end = Date.now() + START_MS
  for (;;) {
    const socket = connect(path)
    try {
      await once(socket, 'connect')
      return socket
    } catch (error) {
      if (Date.now() > end) throw error
      await sleep(20)
    }
  }
}

/** Without what earlier clients left in it: with `/dev/tpmrm0` the kernel does that. */
async function emptied(device: TpmDevice): Promise<TpmDevice> {
  for (let place = 0; place < TRANSIENT_OBJECTS; place++)
    await device.transmit(
      encodeTpmCommand({ name: 'flushContext', handles: [0x8000_0000 + place], parameters: [] }),
    )
  return device
}

/** A TPM over a byte stream: responses say how long they are. */
function streamDevice(socket: Socket): TpmDevice {
  let received = Buffer.alloc(0)
  socket.on('data', (chunk) => (received = Buffer.concat([received, chunk])))
  return {
    async transmit(command) {
      received = Buffer.alloc(0)
      socket.write(command)
      while (received.length < HEADER_BYTES || received.length < received.readUInt32BE(2))
        await once(socket, 'data')
      return new Uint8Array(received)
    },
    async [Symbol.asyncDispose]() {
      socket.destroy()
    },
  }
}

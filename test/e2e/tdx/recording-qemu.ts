/**
 * The program that stands for QEMU on a TDX host. It keeps what it was told and given, answers on its control socket what a QEMU 10.1 with a TD answers,
 * and lets whoever plays the guest in at the other end of each port. A copy of it runs under the uid that the launcher gives it, so it imports nothing of ours.
 */
import { appendFileSync, chmodSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import { join } from 'node:path'

const RECORDS = join(import.meta.dirname, 'records')
const PORTS = ['stage', 'agent', 'net', 'console']
/** fdset of the initdata's disk. */
const INITDATA_SET = '2'

const words = process.argv.slice(2)
const after = (option: string) => words[words.indexOf(option) + 1] ?? ''

/** Whole, or not there yet. */
function record(name: string, content: string | Uint8Array): void {
  writeFileSync(join(RECORDS, `${name}.new`), content)
  chmodSync(join(RECORDS, `${name}.new`), 0o644)
  renameSync(join(RECORDS, `${name}.new`), join(RECORDS, name))
}

record('bios', readFileSync(after('-bios')))
record('kernel', readFileSync(after('-kernel')))
for (const word of words) {
  const [, descriptor, set] = /^fd=(\d+),set=(\d+)$/.exec(word) ?? []
  if (set === INITDATA_SET) record('initdata', readFileSync(Number(descriptor)))
}
const td = JSON.parse(words.find((word) => word.includes('tdx-guest')) ?? '{}') as Record<
  string,
  unknown
>

const GREETING = {
  QMP: { version: { qemu: { micro: 0, minor: 1, major: 10 }, package: '' }, capabilities: ['oob'] },
}
const UNKNOWN = { class: 'CommandNotFound', desc: 'The command has not been found' }

function answerTo({ execute, arguments: given = {} }: Command): object {
  switch (execute) {
    case 'qmp_capabilities':
    case 'cont':
    case 'system_powerdown':
    case 'quit':
      return { return: {} }
    case 'query-status':
      return { return: { status: 'running', running: true } }
    case 'qom-get':
      return { return: td[given['property'] ?? ''] }
    default:
      return { error: UNKNOWN }
  }
}

interface Command {
  readonly execute: string
  readonly arguments?: Readonly<Record<string, string>>
  readonly id?: number
}

function serveControl(socket: Socket): void {
  const say = (message: object) => socket.write(`${JSON.stringify(message)}\n`)
  say(GREETING)
  let rest = ''
  socket.on('data', (chunk: Buffer) => {
    const lines = (rest + chunk.toString('utf8')).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) {
      const command = JSON.parse(line) as Command
      const { execute, arguments: given } = command
      const turn = [execute, given]
      appendFileSync(join(RECORDS, 'dialogue'), `${JSON.stringify(turn)}\n`)
      say({ ...answerTo(command), id: command.id })
      if (execute === 'quit') process.exit(0)
    }
  })
}

/** What one end writes while the other is away is lost, as on a virtio-serial port. */
function bridge(name: string): void {
  const ends: { host?: Socket; guest?: Socket } = {}
  const serve = (own: keyof typeof ends, other: keyof typeof ends, path: string) =>
    createServer((socket) => {
      ends[own] = socket
      socket.on('error', () => socket.destroy())
      socket.on('data', (chunk) => ends[other]?.write(chunk))
    }).listen(path, () => chmodSync(path, own === 'guest' ? 0o666 : 0o600))
  const guest = join(RECORDS, `${name}.guest`)
  // Of the run before.
  rmSync(guest, { force: true })
  serve('guest', 'host', guest)
  serve('host', 'guest', `${name}.sock`)
}

for (const name of PORTS) bridge(name)
createServer(serveControl).listen('qmp.sock')
record('words.json', JSON.stringify(words))

/**
 * hostd over machines without QEMU, as a process of its own so that its memory can be read: `node fake-vm-host.ts`. It prints `ready`, then
 * its anonymous memory in KiB for each line it reads.
 */
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { directories } from '@cloister/protocol/directories'
import { startDaemon } from '@cloister/hostd/daemon'
import { FakeMachine } from '../../packages/hostd/test/fake-machine.ts'

const machine = new FakeMachine({ hasAgent: false })
const daemon = await startDaemon({
  directories: directories(),
  backend: machine.backend(),
  log: () => undefined,
})
process.stdout.write('ready\n')
for await (const _line of createInterface({ input: process.stdin })) {
  globalThis.gc?.()
  const status = readFileSync('/proc/self/status', 'utf8')
  process.stdout.write(`${/RssAnon:\s+(\d+)/.exec(status)?.[1]}\n`)
}
await Promise.all(daemon.machines.list().map((vm) => vm.stop({ force: true, timeoutMs: 0 })))
await daemon[Symbol.asyncDispose]()

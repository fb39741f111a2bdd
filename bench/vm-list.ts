/**
 * hostd with 50 defined and 8 running VMs: how long the list takes over its socket, and what one more running VM costs it. The machines are fakes in
 * the same process, whose sockets and objects are counted with hostd's own: an upper bound. QEMU and swtpm are not hostd.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { HostdClient, hostdSocket } from '@cloister/hostd/client'
import { directories } from '@cloister/protocol/directories'
import { medianMsAsync, type Figure } from './figure.ts'

const DEFINED = 50
const RUNNING = 8
const LIST_MS = 50
const OVERHEAD_MIB = 2

export async function run(): Promise<Figure[]> {
  const home = mkdtempSync(join(tmpdir(), 'cl-bench-vm-'))
  const environment = {
    ...process.env,
    CLOISTER_HOME: home,
    CLOISTER_RUNTIME_DIR: join(home, 'r'),
  }
  const program = join(import.meta.dirname, 'support/fake-vm-host.ts')
  const host = spawn(process.execPath, ['--expose-gc', program], {
    env: environment,
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  try {
    const lines = createInterface({ input: host.stdout })[Symbol.asyncIterator]()
    await lines.next()
    const anonymousMiB = async () => {
      host.stdin.write('\n')
      return Number((await lines.next()).value) / 1024
    }
    const client = new HostdClient(hostdSocket(directories(environment)))
    await defineAll(client, join(home, 'image.raw'))
    // What the first one loads is no cost of the others.
    await client.vms.start('vm-0')
    const before = await anonymousMiB()
    for (let index = 1; index <= RUNNING; index++) await client.vms.start(`vm-${index}`)
    const after = await anonymousMiB()
    await client.vms.stop('vm-0', { force: true })
    const ours = await medianMsAsync(() => client.vms.list())
    return [listFigure(ours), overheadFigure((after - before) / RUNNING)]
  } finally {
    const ended = once(host, 'exit')
    host.stdin.end()
    await ended
    rmSync(home, { recursive: true, force: true })
  }
}

async function defineAll(client: HostdClient, path: string): Promise<void> {
  writeFileSync(path, '')
  truncateSync(path, 1 << 20)
  await client.setQuota({ cpus: 256 })
  for (let index = 0; index < DEFINED; index++)
    await client.vms.define({
      name: `vm-${index}`,
      image: { path, name: 'image.raw' },
      tee: 'none',
      cpus: 1,
      memoryMiB: 256,
    })
}

function listFigure(ours: number): Figure {
  return {
    name: `list of ${DEFINED} VMs, ${RUNNING} of them running`,
    unit: 'ms',
    floor: 0,
    ours,
    promise: `under ${LIST_MS} ms`,
    held: ours < LIST_MS,
  }
}

function overheadFigure(ours: number): Figure {
  return {
    name: 'hostd for one more running VM, anonymous memory',
    unit: 'MiB',
    floor: 0,
    ours,
    promise: `under ${OVERHEAD_MIB} MiB`,
    held: ours < OVERHEAD_MIB,
  }
}

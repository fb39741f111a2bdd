/**
 * hostd as a process, over QEMU and the built guest image. The broker is a socket that never answers, so the guest stays where it would
 * attest; that is enough to kill everything around it.
 */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { connect, createServer, type AddressInfo, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { directories } from '@cloister/protocol/directories'
import type { WorkloadView } from '@cloister/protocol/hostd-api'
import type { HostdClient } from '../src/client.ts'
import { ensureHostd } from '../src/ensure.ts'
import { startRequest } from './fixture.ts'

const { images } = directories()
const isAgentThere = existsSync(join(images, 'base', 'manifest.json'))
const skip = !hasQemu()
  ? 'no QEMU on this host'
  : isAgentThere
    ? false
    : `no guest image in ${images}; build it with: cloister guest-image build`

const BOOT_MS = 180_000
const NONCE = new Uint8Array(32).fill(7)

describe('a guest under QEMU', { skip, timeout: 900_000 }, () => {
  const home = mkdtempSync(join(tmpdir(), 'cl-real-'))
  const places = directories({ CLOISTER_HOME: home, CLOISTER_RUNTIME_DIR: join(home, 'r') })
  let broker: Server
  let hostd: HostdClient

  before(async () => {
    symlinkSync(images, places.images)
    broker = createServer((socket) => socket.on('error', () => undefined)).listen(0, '127.0.0.1')
    await mkdir(places.runtime, { recursive: true })
    hostd = await ensureHostd(places)
  })

  after(async () => {
    for (const { name } of await hostd.list()) await hostd.stop(name, { force: true })
    await hostd.shutdown()
    broker.close()
    rmSync(home, { recursive: true, force: true })
  })

  const request = (name: string) =>
    startRequest({
      name,
      memoryMiB: 768,
      targets: { broker: { tcp: `127.0.0.1:${(broker.address() as AddressInfo).port}` } },
    })

  async function until(
    name: string,
    isReached: (view: WorkloadView) => boolean,
  ): Promise<WorkloadView> {
    const signal = AbortSignal.timeout(BOOT_MS)
    for await (const event of hostd.events({ workload: name, signal }))
      if (event.type === 'workload' && isReached(event.workload)) return event.workload
    throw new Error('the events ended')
  }

  async function killHostd(): Promise<void> {
    const { pid } = await hostd.info()
    process.kill(pid, 'SIGKILL')
    while (existsSync(`/proc/${pid}`)) await sleep(10)
  }

  const isAtInitdata = ({ stages }: WorkloadView) => stages.at(-1)?.name === 'initdata'

  test('boots, and gives status and evidence', async () => {
    await hostd.start(request('one'))
    await until('one', isAtInitdata)
    assert.equal((await hostd.status('one')).stage, 'initdata')
    const { tee, evidenceJson, initdata } = await hostd.evidence('one', NONCE)
    assert.equal(tee, 'snp')
    assert.ok(evidenceJson.includes('attestation_report'))
    assert.equal(initdata, request('one').initdata)
  })

  test('goes on when hostd is killed, and is found again', async () => {
    const before = await hostd.get('one')
    await killHostd()
    hostd = await ensureHostd(places)
    const found = await hostd.get('one')
    assert.equal(found.state, 'starting')
    assert.equal(found.pid, before.pid)
    assert.deepEqual(found.stages, before.stages)
    assert.equal((await hostd.evidence('one', NONCE)).tee, 'snp')
  })

  test('serves again after a hostd that died in the middle of a frame, both ways', async () => {
    for (const half of [
      // A ttrpc header that announces 4000 bytes, and some of them.
      Buffer.concat([Buffer.from([0, 0, 0x0f, 0xa0, 0, 0, 0, 1, 1, 0]), Buffer.alloc(100, 0xaa)]),
      Buffer.from('CLOISTER-SES'),
      Buffer.alloc(3, 0),
    ]) {
      const { id } = await hostd.get('one')
      await killHostd()
      for (const port of ['agent.sock', 'net.sock'])
        await writeHalfSession(join(places.runtime, 'vm', id, port), half)
      hostd = await ensureHostd(places)
      assert.equal((await hostd.evidence('one', NONCE)).tee, 'snp')
      const channel = await hostd.connect('one')
      channel.destroy()
    }
  })

  test('is reported when QEMU is killed, and leaves nothing', async () => {
    const { id, pid } = await hostd.get('one')
    assert.ok(pid !== undefined)
    process.kill(pid, 'SIGKILL')
    const { error } = await until('one', ({ state }) => state === 'failed')
    assert.equal(error?.code, 'guest.died')
    assert.match(error?.where ?? '', /initdata/)
    assert.deepEqual(qemusOf(id), [])
    assert.ok(!existsSync(join(places.runtime, 'vm', id)))
    assert.ok(!existsSync(join(places.hostd, 'vms', id)))
    await hostd.remove('one')
    assert.deepEqual(readdirSync(join(places.hostd, 'workloads')), [])
  })

  test('starts once when hostd is killed at any moment of the start', async () => {
    for (const delayMs of [0, 60, 250, 700]) {
      await hostd.start(request('two'))
      await sleep(delayMs)
      await killHostd()
      hostd = await ensureHostd(places)
      const { id, pid } = await until('two', (view) => view.pid !== undefined)
      assert.deepEqual(qemusOf(id), [pid])
      await hostd.stop('two', { force: true })
      assert.deepEqual(qemusOf(id), [])
      await hostd.remove('two')
      assert.deepEqual(readdirSync(join(places.runtime, 'vm')), [])
      assert.deepEqual(readdirSync(join(places.hostd, 'vms')), [])
    }
  })

  test('hostd is small when no guest runs', async () => {
    await hostd.shutdown()
    await sleep(200)
    hostd = await ensureHostd(places)
    const { pid } = await hostd.info()
    const status = readFileSync(`/proc/${pid}/status`, 'utf8')
    const anonymousMiB = Number(/RssAnon:\s+(\d+)/.exec(status)?.[1]) / 1024
    assert.ok(anonymousMiB <= 48, `${anonymousMiB} MiB`)
  })
})

/** Speaks as a hostd that opens a session, sends a piece of a frame, reads a piece of an answer and dies. */
async function writeHalfSession(path: string, half: Buffer): Promise<void> {
  const socket = connect(path)
  socket.on('error', () => undefined)
  await new Promise((resolve) => socket.once('connect', resolve))
  socket.write(Buffer.concat([Buffer.from('CLOISTER-SESSION'), Buffer.alloc(16, 9)]))
  await Promise.race([new Promise((resolve) => socket.once('readable', resolve)), sleep(2_000)])
  socket.read(5)
  socket.write(half)
  await sleep(100)
  socket.destroy()
}

function qemusOf(id: string): number[] {
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => Number.isInteger(pid) && commandOf(pid).includes(`guest=cloister-${id},`))
}

function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8')
  } catch {
    return ''
  }
}

function hasQemu(): boolean {
  try {
    execFileSync('qemu-system-x86_64', ['--version'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

/** Attacks on a guest that runs: one guest, booted with a clock that is ten years ahead, stands all of them. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { open, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, afterEach, before, describe, test } from 'node:test'
import { appraiseWorkload, ownerReferences } from '@cloister/cli/owner/appraise-workload'
import { runAttack } from '@cloister/cli/attacks/attack'
import { EVIDENCE_ATTACKS } from '@cloister/cli/attacks/evidence-attacks'
import { IMAGE_ATTACKS } from '@cloister/cli/attacks/image-attacks'
import { HOST_REQUESTS } from '@cloister/cli/attacks/host-requests'
import {
  inPlaceOfHostd,
  RUNTIME_ATTACKS,
  sendRequests,
} from '@cloister/cli/attacks/runtime-attacks'
import { BOOT_TIMEOUT_MS } from '@cloister/cli/attacks/attack-boots'
import { awaitRunning } from '@cloister/cli/workload/await-running'
import { GuestLink } from '@cloister/hostd/guest-link'
import { QmpClient } from '@cloister/launcher/qmp'
import { SOCKETS, STATE_FILES } from '@cloister/launcher/vm-files'
import { AgentService } from '@cloister/protocol/agent-service_pb'
import { encodeInitdataDisk, initdataOf, encodeInitdata } from '@cloister/protocol/initdata'
import type { WorkloadInput } from '@cloister/protocol/workload'
import { openAttackField, type AttackField } from './support/attack-field.ts'
import { dieReading, dieWriting, HALVES } from './support/half-frames.ts'
import { findQemu } from './support/recording-qemu.ts'

const BLOCK_BYTES = 4096
/** How far the guest's clock may be off once it has spoken to the broker; the boot itself takes a part of it. */
const CLOCK_TOLERANCE_S = 600

describe('a running guest', { skip: await findQemu(), timeout: 900_000 }, () => {
  let field: AttackField
  before(async () => {
    field = await openAttackField()
    await start(10)
  })
  afterEach(async () => {
    await field.assertSilent()
  })
  after(async () => {
    await field[Symbol.asyncDispose]()
  })

  /** Starts the workload by hostd with the guest's clock off by so many years. */
  async function start(years: number, initdata = field.initdata): Promise<void> {
    await field.qemu.lie('-rtc', `base=${yearsFromNow(years).toISOString().slice(0, 19)}`)
    const hostd = await field.hostd()
    const { workload, broker, layout, signal } = field
    await hostd.start({
      name: workload,
      initdata: Buffer.from(initdata).toString('base64'),
      tee: 'simulated',
      cpus: 1,
      memoryMiB: 512,
      scratchMiB: 128,
      targets: { broker: { tcp: new URL(broker.pinned.url).host }, registry: { layout } },
    })
    const timeout = AbortSignal.timeout(BOOT_TIMEOUT_MS)
    const ended = AbortSignal.any([signal, timeout])
    await awaitRunning(workload, { hostd, broker, directories: field.directories, signal: ended })
  }

  /** What follows a word in the container's output. */
  async function said(word: string): Promise<string> {
    const hostd = await field.hostd()
    const signal = AbortSignal.timeout(60_000)
    for await (const { text } of hostd.logs(field.workload, { follow: true, signal })) {
      const found = new RegExp(`^${word} (\\S+)`, 'm').exec(text)?.[1]
      if (found !== undefined) return found
    }
    throw new Error(`the container never said ${word}`)
  }

  /** It has not ended, and its evidence is what the owner expects. */
  async function assertUnharmed(): Promise<void> {
    const hostd = await field.hostd()
    assert.equal((await hostd.get(field.workload)).state, 'running')
    const references = await ownerReferences(field.directories, field.broker)
    const { verdict } = await appraiseWorkload(field.workload, hostd, references(field.workload))
    assert.equal(verdict.trust, 'simulated')
  }

  /** The RTC that the guest booted by, from QEMU, and the time of the container. */
  async function assertCorrectedClock(years: number): Promise<void> {
    const time = Number(await said('time'))
    const rtc = await inPlaceOfHostd(field, async (sockets) => {
      const qmp = await QmpClient.connect(join(sockets, SOCKETS.qmp))
      const answer = await qmp.execute('qom-get', { path: '/machine', property: 'rtc-time' })
      qmp.close()
      return answer as { tm_year: number }
    })
    assert.equal(rtc.tm_year + 1900, yearsFromNow(years).getUTCFullYear(), 'the lie was told')
    assert.ok(Math.abs(time - Date.now() / 1000) < CLOCK_TOLERANCE_S, `the guest has ${time}`)
  }

  test('has the secret and the image, and the host none of both', async () => {
    const digest = createHash('sha256').update(field.secretValue).digest('hex')
    assert.equal(await said('secret'), digest)
    await assertUnharmed()
    const hostd = await field.hostd()
    assert.equal(await hostd.console(field.workload), '')
    // What was searched after this test is the real traffic.
    for (const name of ['agent', 'net', 'stage'] as const)
      assert.ok((await field.qemu.recorded(name)) > 0, `nothing was recorded of ${name}`)
  })

  test('filters the system calls of its container', async () => {
    assert.equal(await said('filters'), '1')
    assert.equal(await said('namespace'), 'refused')
  })

  test('whose clock was moved ten years ahead runs by the time of the broker', async () => {
    await assertCorrectedClock(10)
  })

  for (const attack of [...EVIDENCE_ATTACKS, ...IMAGE_ATTACKS, ...RUNTIME_ATTACKS])
    test(`of which quickstart shows: ${attack.story}`, async () => {
      const { refused, code } = await runAttack(attack, field)
      assert.ok(refused, `it ended with ${code}`)
    })

  test('refuses each request that its initdata does not name, by its own code', async () => {
    const refusals = await inPlaceOfHostd(
      field,
      async (sockets) => await sendRequests(field, sockets, HOST_REQUESTS),
    )
    const received = HOST_REQUESTS.map(({ name }, index) => [name, refusals[index]?.code])
    assert.deepEqual(
      received,
      HOST_REQUESTS.map(({ name, expected }) => [name, expected]),
    )
    await assertUnharmed()
  })

  for (const [what, half] of Object.entries(HALVES))
    test(`is served on after a hostd that was killed as it wrote ${what}`, async () => {
      await inPlaceOfHostd(
        field,
        async (sockets) => {
          for (const port of [SOCKETS.agent, SOCKETS.net])
            await dieWriting(join(sockets, port), half)
        },
        { isKilled: true },
      )
      await assertUnharmed()
      const channel = await (await field.hostd()).connect(field.workload)
      channel.destroy()
    })

  test('is served on after a hostd that was killed as it read an answer', async () => {
    await inPlaceOfHostd(field, async (sockets) => await dieReading(join(sockets, SOCKETS.agent)), {
      isKilled: true,
    })
    await assertUnharmed()
  })

  test('goes by the initdata of its start when the disk is exchanged later', async () => {
    const other = openedInitdata(field.document)
    const disk = await stateFile('initdata')
    const { size } = await stat(disk)
    const content = Buffer.alloc(Math.max(size, encodeInitdataDisk(other).length))
    content.set(encodeInitdataDisk(other))
    await writeFile(disk, content, { flag: 'r+' })
    const exec = HOST_REQUESTS.filter(({ name }) => name === 'exec-in-guest')
    const [refusal] = await inPlaceOfHostd(
      field,
      async (sockets) => await sendRequests(field, sockets, exec),
    )
    assert.equal(refusal?.code, 'agent.request-denied')
    await assertUnharmed()
  })

  test('ends when a block of its scratch space was flipped', async () => {
    await flipWritten(await stateFile('scratch'))
    const hostd = await field.hostd()
    const signal = AbortSignal.timeout(BOOT_TIMEOUT_MS)
    for await (const event of hostd.events({ workload: field.workload, signal }))
      if (event.type === 'workload' && event.workload.state === 'failed') break
    assert.equal((await hostd.get(field.workload)).error?.code, 'agent.scratch-corrupt')
    await hostd.remove(field.workload)
  })

  test('whose clock was moved ten years back runs by the time of the broker', async () => {
    const initdata = openedInitdata(field.document)
    await field.broker.putWorkload(field.workload, initdata)
    await start(-10, initdata)
    await assertCorrectedClock(-10)
    await assertUnharmed()
  })

  test('filters the system calls of what its workload lets the host execute, too', async () => {
    const script = `grep ^Seccomp: /proc/self/status; unshare -U true 2>/dev/null || echo refused`
    const output = await inPlaceOfHostd(
      field,
      async (sockets) => await execute(sockets, field.workload, script),
    )
    assert.match(output, /^Seccomp:\s2\nrefused\n$/)
  })

  async function stateFile(name: keyof typeof STATE_FILES): Promise<string> {
    const { id } = await (await field.hostd()).get(field.workload)
    return join(field.directories.hostd, 'vms', id, STATE_FILES[name])
  }
})

/** Of its next revision, in which the host may execute programs in the container. */
function openedInitdata(document: WorkloadInput): Uint8Array {
  const hostPolicy = { exec: true, readStdout: true }
  return encodeInitdata(initdataOf({ ...document, revision: 2, hostPolicy }))
}

/** @returns what the script wrote to its standard output */
async function execute(sockets: string, containerId: string, script: string): Promise<string> {
  const { execProcess, readStdout, waitProcess } = AgentService.method
  const link = new GuestLink(join(sockets, SOCKETS.agent))
  const id = { containerId, execId: 'execute' }
  try {
    await link.call(execProcess, { ...id, process: { Args: ['/bin/sh', '-c', script], Cwd: '/' } })
    await link.call(waitProcess, id)
    const { data } = await link.call(readStdout, { ...id, len: 4096 })
    return Buffer.from(data).toString()
  } finally {
    link.close()
  }
}

function yearsFromNow(years: number): Date {
  const date = new Date()
  date.setUTCFullYear(date.getUTCFullYear() + years)
  return date
}

/** Flips a bit in each block of a sparse file that was ever written. */
async function flipWritten(file: string): Promise<void> {
  const content = await readFile(file)
  await using handle = await open(file, 'r+')
  for (let offset = 0; offset < content.length; offset += BLOCK_BYTES) {
    const block = content.subarray(offset, offset + BLOCK_BYTES)
    if (block.every((byte) => byte === 0)) continue
    block[0]! ^= 1
    await handle.write(block, 0, block.length, offset)
  }
}

/** A real guest asks the simulated secure processor for a report, before and after a restart of its host's side. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { predictSnpLaunchDigest } from '@cloister/verifier/snp/launch-digest'
import { appraiseSnp } from '@cloister/verifier/snp/appraise'
import { fromExtendedReport } from '@cloister/verifier/snp/evidence'
import { parseSnpReport } from '@cloister/verifier/snp/report'
import { TeeAnswerSchema } from '@cloister/protocol/tee-port'
import { adoptVm } from '../src/adopt-vm.ts'
import { sha256Hex } from '../src/testing/fingerprint.ts'
import { SimulatedProcessor } from '../src/simulator/processor.ts'
import { startVm } from '../src/start-vm.ts'
import type { Vm } from '../src/vm-spec.ts'
import { describeGuest, findGuest, type TestGuest } from './guest.ts'
import { writeInitrdWith } from '../src/testing/initrd.ts'

const found = await findGuest()
const guest = found as TestGuest
const options = { skip: typeof found === 'string' ? found : false, timeout: 90_000 }

const folder = await mkdtemp(join(tmpdir(), 'sim-'))
after(() => rm(folder, { recursive: true }))

/** Sends each line of the net port to the processor, and each answer back. */
const RELAY = `#!/bin/busybox sh
b=/bin/busybox
$b mkdir -p /proc /sys /dev
$b mount -t sysfs s /sys
$b mount -t devtmpfs d /dev
for f in /sys/class/virtio-ports/*/name; do
  read -r n <$f
  d=\${f%/name}
  $b ln -s /dev/\${d##*/} /dev/$n
done
exec 3<>/dev/cloister.tee 4<>/dev/cloister.net 5>/dev/cloister.stage
echo "10 initrd 1" >&5
while :; do
  # Without a client on the host a port reads as ended.
  read -r line <&4 || { $b usleep 50000; continue; }
  echo "$line" >&3
  read -r answer <&3
  echo "$answer" >&4
done
`

const REQUEST = {
  id: '0123456789abcdef',
  op: 'report',
  reportData: '5a'.repeat(64),
  vmpl: 0,
} as const

async function untilStage(vm: Vm): Promise<void> {
  if (vm.stages.length > 0) return
  await new Promise<void>((resolve) => {
    vm.onStage(() => resolve())
  })
}

/** Through the guest: our line goes in by the net port, the processor's answer comes out by it. */
async function askThrough(vm: Vm) {
  const { connect } = await import('node:net')
  const socket = connect(vm.sockets.net)
  socket.write(`${JSON.stringify(REQUEST)}\n`)
  let text = ''
  for await (const chunk of socket) {
    text += String(chunk)
    if (text.includes('\n')) break
  }
  socket.destroy()
  const answer = TeeAnswerSchema.parse(JSON.parse(text))
  assert.ok('report' in answer)
  const report = new Uint8Array(Buffer.from(answer.report, 'base64'))
  return { report, table: new Uint8Array(Buffer.from(answer.certificates, 'base64')) }
}

test(
  'a guest gets a report over what its QEMU really booted, also after adoption',
  options,
  async (t) => {
    const initrd = join(folder, 'initrd')
    await writeInitrdWith(guest.boot.initrd, { name: 'relay', text: RELAY }, initrd)
    const processor = await SimulatedProcessor.open(join(folder, 'keys'))
    const host = { ...guest.host, openSimulator: () => Promise.resolve(processor) }
    const hostData = createHash('sha256').update('initdata').digest()
    const commandLine = 'quiet panic=-1 rdinit=/relay cloister.mode=simulated'
    const spec = await describeGuest(t, guest, {
      mode: 'simulated',
      boot: { ...guest.boot, initrd },
      commandLine,
      cpus: 2,
      hostData,
      vcpuType: 'EPYC-Milan-v2',
    })
    const vm = await startVm(spec, host)
    t.after(() => vm[Symbol.asyncDispose]())
    await untilStage(vm)
    const first = await askThrough(vm)

    const [firmware, kernel] = await Promise.all([
      readFile(guest.boot.firmware),
      readFile(guest.boot.kernel),
    ])
    const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest()
    const measurement = await predictSnpLaunchDigest({
      firmware,
      kernelHashes: {
        kernelSha256: sha256(kernel),
        initrdSha256: sha256(await readFile(initrd)),
        commandLine,
      },
      vcpuType: 'EPYC-Milan-v2',
      vcpus: 2,
    })
    const appraisal = await appraiseSnp(fromExtendedReport(first.report, first.table), {
      expect: { reportData: Buffer.from(REQUEST.reportData, 'hex'), measurement, hostData },
      now: new Date(),
      simulatedRoots: [sha256Hex(processor.identity.chain.ark)],
      policy: { requireRevocationList: true },
    })
    assert.deepEqual('reasons' in appraisal && [appraisal.status, ...appraisal.reasons], [
      'warning',
      'snp.anchor.simulated',
    ])

    await vm.release()
    const again = await adoptVm(vm.state, host)
    assert.ok(again)
    t.after(() => again[Symbol.asyncDispose]())
    const [before, now] = [first.report, (await askThrough(again)).report].map((report) =>
      parseSnpReport(report),
    )
    assert.ok(before && now)
    assert.deepEqual(now.measurement, before.measurement)
    assert.deepEqual(now.reportId, before.reportId)
    assert.deepEqual(now.hostData, before.hostData)
    await again.stop({ force: true })
  },
)

test(
  'a simulated guest does not start with firmware that cannot hold the kernel hashes',
  options,
  async (t) => {
    const firmware = join(folder, 'blank.fd')
    await writeFile(firmware, new Uint8Array(4096))
    const processor = await SimulatedProcessor.open(join(folder, 'keys'))
    const host = { ...guest.host, openSimulator: () => Promise.resolve(processor) }
    const spec = await describeGuest(t, guest, {
      mode: 'simulated',
      boot: { ...guest.boot, firmware },
      commandLine: guest.commandLines.simulated,
    })
    await assert.rejects(startVm(spec, host), { code: 'tee.firmware-unfit' })
    await assert.rejects(readFile(join(spec.stateDirectory, 'launch-context.json')), {
      code: 'ENOENT',
    })
  },
)

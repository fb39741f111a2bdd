/**
 * A VM under TDX as far as it goes without TDX: the owner's side, the broker, hostd, the launcher and the guest's agent are the real ones. A fixture stands
 * for the host's /proc and /sys, a program that keeps what it is told for QEMU, a TPM for the registers of the TD, and a fake Intel for the one that signs.
 */
import assert from 'node:assert/strict'
import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { configfsQuotes, tdxAttester } from '@cloister/agent/attesters/tdx'
import { bindInitdata } from '@cloister/agent/initdata-binding'
import { runVmAgent } from '@cloister/agent/vm/vm-agent'
import { giveCollateral } from '@cloister/broker/testing/fake-td'
import { startTestBroker, type TestBroker } from '@cloister/broker/testing/test-broker'
import { parseCommandLine } from '@cloister/cli/command-line'
import { ownerReferences } from '@cloister/cli/owner/appraise-workload'
import { openBroker } from '@cloister/cli/owner/broker-client'
import { pinBroker } from '@cloister/cli/owner/pinned-broker'
import { appraiseTd } from '@cloister/cli/owner/td-evidence'
import { ensureGuestImage } from '@cloister/cli/setup/ensure-guest-image'
import { readPrediction } from '@cloister/cli/td-machine/kept-prediction'
import { predictMachine } from '@cloister/cli/td-machine/predict-machine'
import { acceptMachine, explainMachine, refusedMachine } from '@cloister/cli/vm/accept-machine'
import { readCreatePlan, VM_CREATE_OPTIONS } from '@cloister/cli/vm/create-plan'
import { createVm, prepareVm } from '@cloister/cli/vm/create-vm'
import { resizedMachine } from '@cloister/cli/vm/renew-machine'
import { updateBoot } from '@cloister/cli/vm/update-boot'
import { HostdClient } from '@cloister/hostd/client'
import { startDaemon, type Daemon } from '@cloister/hostd/daemon'
import { hostBackend } from '@cloister/hostd/host-backend'
import { readDiskSystem } from '@cloister/image/boot-bundle/disk-system'
import { ensureCatalogueImage } from '@cloister/image/disk/catalogue'
import { loadGuestImage } from '@cloister/image/images'
import { probeArguments } from '@cloister/launcher/machine-probe/probe-machine'
import { startVm } from '@cloister/launcher/start-vm'
import { directories } from '@cloister/protocol/directories'
import { STAGES } from '@cloister/protocol/guest-names'
import type { EvidenceAnswer } from '@cloister/protocol/hostd-api'
import type { VmView } from '@cloister/protocol/hostd-vm-api'
import { verifyReportData } from '@cloister/protocol/report-data'
import { isCode } from '@cloister/protocol/testing'
import { isVmWorkload } from '@cloister/protocol/vm-workload'
import { toHex } from '@cloister/verifier/bytes/hex'
import {
  digestOf as digestOfEvent,
  encodeTcgLog,
  parseTcgLog,
} from '@cloister/verifier/eventlog/tcg-log'
import { predictMrTd } from '@cloister/verifier/tdx/mr-td'
import { replayRtmr } from '@cloister/verifier/tdx/rtmr'
import { unifiedKernelEvents } from '@cloister/verifier/tdx/unified-kernel'
import { changedEvent } from '@cloister/verifier/testing/changed-event'
import { FAKE_TD, FakeIntel } from '@cloister/verifier/testing/fake-intel'
import { freePort } from '../interop/test-registry.ts'
import { installFakeTsm, type FakeTsm } from './tdx/fake-tsm.ts'
import { installRecordingHost, type RecordingHost } from './tdx/recording-host.ts'
import { bootUnifiedKernel, type UnifiedBoot } from './tdx/unified-boot.ts'

const NAME = 'td'
const CHANGES_MS = 20_000
const signal = AbortSignal.timeout(1_200_000)
const talk = () => undefined

describe('a VM under TDX', { timeout: 1_200_000 }, () => {
  const home = mkdtempSync(join(tmpdir(), 'cl-tdx-'))
  const places = directories({ CLOISTER_HOME: home, CLOISTER_RUNTIME_DIR: join(home, 'r') })
  const intel = new FakeIntel()
  const ccel = join(home, 'ccel')
  const stack = new AsyncDisposableStack()
  let recording: RecordingHost
  let broker: TestBroker
  let daemon: Daemon
  let hostd: HostdClient
  let boot: UnifiedBoot
  let tsm: FakeTsm
  let td: VmView
  let predictedRtmr0 = ''
  /** What the processor says of the TD that runs. */
  let report: Awaited<ReturnType<typeof measured>>

  before(async () => {
    await ensureCatalogueImage('debian-12', { directories: directories() })
    await ensureGuestImage({ directories: directories(), talk, signal })
    mkdirSync(places.images)
    for (const name of ['base', 'disks'])
      symlinkSync(join(directories().images, name), join(places.images, name))
    stack.defer(() => rmSync(home, { recursive: true, force: true }))
    broker = stack.use(
      await startTestBroker({ appraisers: { tdx: intel.appraiseTdx.bind(intel) } }),
    )
    await giveCollateral(broker, intel)
    const { url, spki, tokenSigner } = broker.broker
    pinBroker(places, { url, spki: [spki], tokenSigner })
    const key = broker.adminKey.export({ type: 'pkcs8', format: 'pem' })
    writeFileSync(join(places.owner, 'admin.pem'), key, { mode: 0o600 })
    recording = stack.use(await installRecordingHost())
    const backend = {
      ...hostBackend(places),
      startVm: (spec: Parameters<typeof startVm>[0]) => startVm(spec, recording.host),
    }
    daemon = stack.use(await startDaemon({ directories: places, backend, log: talk }))
    hostd = new HostdClient(daemon.socketPath)
    stack.defer(async () => {
      for (const machine of daemon.machines.list())
        await machine.stop({ force: true, timeoutMs: 0 })
    })
  })
  after(() => stack.disposeAsync())

  async function untilVm(isThere: (view: VmView) => boolean): Promise<VmView> {
    for (const end = Date.now() + CHANGES_MS; ; await sleep(50)) {
      const view = await hostd.vms.get(NAME, { signal })
      if (isThere(view)) return view
      assert.ok(Date.now() < end, `still ${JSON.stringify(view)}`)
    }
  }

  /** What the hardware would put into a quote: each value from what QEMU was given, the registers from a boot of that. */
  async function measured() {
    const object = (await recording.words()).find((word) => word.includes('tdx-guest')) ?? ''
    const { mrconfigid } = JSON.parse(object) as { mrconfigid: string }
    const register = (name: Parameters<UnifiedBoot['digests']>[0]) =>
      replayRtmr(boot.digests(name).map((digest) => Buffer.from(digest, 'hex')))
    return {
      ...FAKE_TD,
      mrTd: await predictMrTd(readFileSync(recording.file('bios'))),
      mrConfigId: Buffer.from(mrconfigid, 'base64'),
      rtmr0: await register('rtmr0'),
      rtmr1: await register('rtmr1'),
      rtmr2: await register('rtmr2'),
    }
  }

  /** The agent of the guest, at the other end of QEMU's ports. Settles with the code that ended it. */
  async function runGuest() {
    const attester = tdxAttester(configfsQuotes(tsm.directory), ccel)
    const bound = await bindInitdata(readFileSync(recording.file('initdata')), attester)
    const { workload } = bound
    assert.ok(isVmWorkload(workload))
    const [agentPort, netPort, stagePort] = await Promise.all(
      (['agent', 'net', 'stage'] as const).map((name) => recording.guestPort(name)),
    )
    assert.ok(agentPort && netPort && stagePort)
    const handedOver = Promise.withResolvers<{ device: string; key: string }>()
    let key = ''
    const ended = runVmAgent(
      {
        agentPort,
        netPort,
        attester,
        clock: { now: Date.now, set: () => Promise.resolve() },
        epoch: 1_600_000_000,
        restPort: await freePort(),
        lastQuestionsMs: 500,
        onStage: (stage) => stagePort.write(`${STAGES[stage]} ${stage} 1\n`),
        log: talk,
        openSealed: async (_disk, { current }) => {
          key = toHex(current)
          return '/dev/mapper/opened'
        },
        partition: () => Promise.reject(new Error('its disk is encrypted')),
        handOver: async ({ device }) => handedOver.resolve({ device, key }),
      },
      { ...bound, workload },
    )
    ended.catch((error: unknown) => handedOver.reject(error))
    handedOver.promise.catch(() => undefined)
    const close = () => {
      for (const port of [agentPort, netPort, stagePort]) port.destroy()
    }
    return { ended, handedOver: handedOver.promise, close }
  }

  const owner = () => openBroker(places, signal)
  const key = `vm-${NAME}/disk-key/current`

  test('vm create registers MRTD, RTMR1 and RTMR2, and a key for them alone on the machine that it predicts', async () => {
    const machine = machineFiles(join(home, 'machine'))
    const words = [NAME, '--image', 'debian-12', '--tee', 'tdx', '--encrypt-disk', '--cpus', '3']
    words.push('--machine-files', machine)
    const shape = {
      usage: '',
      options: VM_CREATE_OPTIONS,
      positionals: [1, 1],
      run: async () => 0,
    } as const
    const line = parseCommandLine({ name: 'vm create', words: 2 }, shape, [...words, '-m', '1G'])
    const context = { directories: places, hostd, talk, signal }
    await using prepared = await prepareVm(readCreatePlan(line), context)
    td = await createVm(prepared, context)
    const { manifest } = await loadGuestImage(join(places.images, `vm-${NAME}`))
    const [registered] = await owner().guestImages()
    assert.deepEqual(
      [registered?.name, registered?.mode, registered?.anchors],
      [`vm-${NAME}`, 'hardware', 'intel'],
    )
    const kept = (await owner().secrets()).find(({ path }) => path === key)
    assert.ok(kept?.release?.kind !== 'tpm')
    assert.deepEqual(kept?.release?.anchors, ['intel'])
    assert.deepEqual(kept.release.guestImages, [
      { name: `vm-${NAME}`, minimumVersion: manifest.imageVersion },
    ])
    const { paths } = await loadGuestImage(join(places.images, `vm-${NAME}`))
    const source = { kind: 'files', folder: machine } as const
    const question = { firmware: paths.tdxFirmware ?? '', cpus: 3, memoryMiB: 1024, source }
    const { rtmr0, events } = await predictMachine(question, signal)
    assert.deepEqual(kept.release.tdx?.rtmr0, [rtmr0])
    predictedRtmr0 = rtmr0 ?? ''
    const hexOf = ({ event, digest }: (typeof events)[number]) => [event, digest && toHex(digest)]
    assert.deepEqual((await readPrediction(places, NAME)).events.map(hexOf), events.map(hexOf))
  })

  test('vm start gives QEMU this command line, and holds it to its answers', async () => {
    await hostd.vms.start(NAME, {}, { signal })
    const [{ host } = { host: 0 }] = td.ports
    const digest = Buffer.from(td.initdataDigest ?? '', 'hex')
    assert.deepEqual(await recording.words(), commandLine(td.id, host, digest))
    // What is predicted of the machine is read from one with the same devices.
    const descriptors = { kernel: 4, firmware: 5, root: 6, initdata: 7, system: 8 }
    const probe = probeArguments({ cpus: 3, memoryMiB: 1024 }, descriptors)
    assert.deepEqual(
      hardwareOf(probe).filter((device) => !device.startsWith('isa-debugcon')),
      hardwareOf(await recording.words()),
    )
    const asked = (property: string) => ['qom-get', { path: '/objects/tdx0', property }]
    assert.deepEqual(await recording.dialogue(), [
      ['qmp_capabilities', {}],
      asked('mrconfigid'),
      asked('sept-ve-disable'),
      ['cont', {}],
    ])
    const { paths } = await loadGuestImage(join(places.images, `vm-${NAME}`))
    assert.ok(
      readFileSync(recording.file('kernel')).equals(readFileSync(paths.unifiedKernel ?? '')),
    )
    assert.ok(readFileSync(recording.file('bios')).equals(readFileSync(paths.tdxFirmware ?? '')))
  })

  test('a real boot of that kernel makes the events that were predicted', async () => {
    const kernel = recording.file('kernel')
    const folder = join(home, 'boot')
    mkdirSync(folder)
    boot = await bootUnifiedKernel(kernel, folder)
    const predicted = await unifiedKernelEvents(readFileSync(kernel))
    const digests = (events: typeof predicted.rtmr1) => events.map(({ digest }) => toHex(digest))
    const [rtmr1, rtmr2] = [digests(predicted.rtmr1), digests(predicted.rtmr2)]
    assert.deepEqual(boot.digests([4]).filter(isNoSeparator), [rtmr1[0], rtmr1[1], rtmr1[3]])
    assert.deepEqual(boot.digests([5]).filter(isNoSeparator), [rtmr1[4], rtmr1[5]])
    assert.deepEqual(boot.digests('rtmr1'), rtmr1)
    assert.deepEqual(boot.digests([9, 11]), rtmr2)
    assert.deepEqual(boot.digests('rtmr2'), rtmr2)
    const { manifest } = await loadGuestImage(join(places.images, `vm-${NAME}`))
    const { mrTd, rtmr1: first, rtmr2: second } = await measured()
    assert.deepEqual(manifest.expected.tdx?.hardware, {
      mrTd: toHex(mrTd),
      rtmr1: toHex(first),
      rtmr2: toHex(second),
    })
  })

  test('the machine that was predicted gets the key at its first boot; another one none, until it is accepted', async () => {
    report = { ...(await measured()), rtmr0: Buffer.from(predictedRtmr0, 'hex') }
    writeFileSync(ccel, ccelOf(boot))
    tsm = stack.use(
      await installFakeTsm((reportData) =>
        intel.quote({ kind: 'tdx', report: { ...report, reportData } }),
      ),
    )
    const expected = await runGuest()
    assert.match((await expected.handedOver).key, /^[0-9a-f]{64}$/)
    expected.close()

    await hostd.vms.stop(NAME, { force: true })
    await hostd.vms.start(NAME, {}, { signal })
    report = await measured()
    const stranger = await runGuest()
    await assert.rejects(stranger.ended, isCode('agent.resource-refused'))
    stranger.close()
    const { rtmr0 } = await refusedMachine(NAME, owner())
    assert.equal(rtmr0, toHex(report.rtmr0))
    const { events: predicted } = await readPrediction(places, NAME)
    const events = (await explainMachine(NAME, rtmr0, { predicted, broker: owner() })) ?? []
    const verdictOf = (name: string) => events.find(({ event }) => event === name)?.verdict
    // A TPM's log has no TD HOB; what both firmwares measure alike is as predicted.
    assert.notEqual(verdictOf('TD HOB'), 'predicted')
    assert.equal(verdictOf('PK'), 'predicted')
    assert.deepEqual(
      events.flatMap(({ received }) => received ?? []),
      boot.digests('rtmr0'),
    )
    await acceptMachine(NAME, rtmr0, owner())

    await hostd.vms.stop(NAME, { force: true })
    await hostd.vms.start(NAME, {}, { signal })
    const guest = await runGuest()
    const { device, key: released } = await guest.handedOver
    assert.equal(device, '/dev/mapper/opened')
    assert.match(released, /^[0-9a-f]{64}$/)
    const up = await untilVm(({ stages }) => stages.some(({ name }) => name === 'started'))
    assert.equal(up.state, 'running')

    // What `verify` does, under the fake Intel.
    const nonce = Buffer.alloc(32, 9)
    const answer = await hostd.vms.evidence(NAME, nonce, { signal })
    const { manifests, acceptedMachines } = (await ownerReferences(places, owner()))(NAME)
    const now = new Date()
    const [from, until] = [now.getTime() - 60_000, now.getTime() + 3_600_000]
    const collateral = intel.endorsements('tdx', new Date(from), new Date(until))
    const question = { reportData: reportDataOf(answer, nonce), hostData: digestOf(td), now }
    const verdict = await appraiseTd(
      answer,
      question,
      {
        manifests,
        rtmr0: (await acceptedMachines?.()) ?? [],
        intelCollateral: async () => collateral,
      },
      intel.appraiseTdx.bind(intel),
    )
    assert.equal(verdict?.appraisal.status, 'affirming')
    guest.close()
  })

  test('after vm update-boot another kernel gets the key, and the one before does not', async () => {
    await hostd.vms.stop(NAME, { force: true })
    const work = join(home, 'kernel')
    mkdirSync(work)
    const disk = join(places.images, 'disks/debian-12/disk.raw')
    const { kernel } = await readDiskSystem(disk, work, { signal })
    // Padding that the kernel does not know of makes another kernel.
    appendFileSync(kernel.image, Buffer.alloc(4096))
    const modules = join(kernel.tree, 'usr/lib/modules', kernel.release)
    const context = { directories: places, broker: owner(), hostd, talk, signal }
    const updated = await updateBoot(NAME, { kernel: kernel.image, modules }, context)
    const { manifest } = await loadGuestImage(join(places.images, updated.guestImage))
    const { rtmr1 = '', rtmr2 = '' } = manifest.expected.tdx?.hardware ?? {}
    assert.notEqual(rtmr1, toHex(report.rtmr1))
    const kept = (await owner().secrets()).find(({ path }) => path === key)
    assert.ok(kept?.release?.kind !== 'tpm')
    assert.equal(kept?.release?.tdx?.rtmr0?.length, 1, 'the machine stays accepted')

    const view = await hostd.vms.start(NAME, {}, { signal })
    assert.equal(view.guestImage?.imageVersion, updated.imageVersion)
    const before = await runGuest()
    await assert.rejects(before.ended, isCode('agent.resource-refused'))
    before.close()
    await hostd.vms.stop(NAME, { force: true })
    await hostd.vms.start(NAME, {}, { signal })
    const register = (hex: string) => Buffer.from(hex, 'hex')
    report = { ...report, rtmr1: register(rtmr1), rtmr2: register(rtmr2) }
    const now = await runGuest()
    assert.match((await now.handedOver).key, /^[0-9a-f]{64}$/)
    now.close()
  })

  test('after vm resize the secrets go to the machine that is predicted then, where all of it is', async () => {
    await hostd.vms.stop(NAME, { force: true })
    const context = { directories: places, talk, signal }
    const shape = { cpus: 2, memoryMiB: 2048, processorId: undefined }
    const accepted = async () => {
      const kept = (await owner().secrets()).find(({ path }) => path === key)
      return kept?.release?.kind === 'tpm' ? undefined : kept?.release?.tdx?.rtmr0
    }
    const before = await accepted()
    // The processors are not named: SMBIOS stays unknown.
    const unknown = await resizedMachine(NAME, { ...shape, machineFiles: undefined }, context)
    const told = await unknown.renew(owner)
    assert.match(told.at(-1) ?? '', /cloister vm accept-machine td$/)
    assert.deepEqual(await accepted(), before)

    const files = { machineFiles: join(home, 'machine') }
    const resize = await resizedMachine(NAME, { ...shape, ...files }, context)
    const { machine } = resize
    await hostd.vms.resize(NAME, { cpus: 2, memoryMiB: 2048 }, { signal })
    await resize.renew(owner)
    assert.notEqual(machine?.rtmr0, predictedRtmr0)
    assert.deepEqual(await accepted(), [machine?.rtmr0])
    const { events } = await readPrediction(places, NAME)
    assert.deepEqual(
      events.map(({ digest }) => digest && toHex(digest)),
      machine?.events.map(({ digest }) => digest && toHex(digest)),
    )
    await hostd.vms.start(NAME, {}, { signal })
    report = { ...report, rtmr0: Buffer.from(machine?.rtmr0 ?? '', 'hex') }
    const guest = await runGuest()
    assert.match((await guest.handedOver).key, /^[0-9a-f]{64}$/)
    guest.close()
  })
})

/** What a guest of some machine shows of it. */
function machineFiles(folder: string): string {
  const loader = Buffer.alloc(256)
  for (const [index, name] of ['etc/acpi/rsdp', 'etc/acpi/tables'].entries()) {
    loader.writeUInt32LE(1, index * 128)
    loader.write(name, index * 128 + 4, 'latin1')
  }
  const files = {
    'etc/table-loader': loader,
    'etc/acpi/rsdp': Buffer.from('rsdp'),
    'etc/acpi/tables': Buffer.from('tables'),
    bootorder: Buffer.from('/rom@genroms/linuxboot_dma.bin\0'),
    DMI: Buffer.from([127, 4, 0, 0, 0, 0]),
    'efivars/BootOrder-8be4df61-93ca-11d2-aa0d-00e098032b8c': Buffer.alloc(6),
  }
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true })
    writeFileSync(join(folder, name), content)
  }
  return folder
}

/** The log of a boot with a TPM as a TD would have it: of its machine alone, one separator for all PCRs. */
function ccelOf(boot: UnifiedBoot): Uint8Array {
  const parsed = parseTcgLog(boot.log)
  const wanted = boot.digests('rtmr0')
  const events = parsed.events.filter((event) => {
    const digest = digestOfEvent(event, 'sha384')
    const isNext =
      digest !== undefined && [1, 7].includes(event.index) && toHex(digest) === wanted[0]
    if (isNext) wanted.shift()
    return isNext
  })
  assert.equal(wanted.length, 0)
  return encodeTcgLog({
    ...parsed,
    events: events.map((event) => changedEvent(event, { index: 1 })),
  })
}

/** Devices, processors and memory, in their order. */
function hardwareOf(words: readonly string[]): string[] {
  return words.filter((_, index) => ['-device', '-smp', '-m'].includes(words[index - 1] ?? ''))
}

/** SHA-384 of four zero bytes: each PCR has one, an RTMR one for all. */
const SEPARATOR =
  '394341b7182cd227c5c6b07ef8000cdfd86136c4292b8e576573ad7ed9ae41019f5818b4b971c9effc60e1ad9f1289f0'

function isNoSeparator(digest: string): boolean {
  return digest !== SEPARATOR
}

function digestOf({ initdataDigest = '' }: VmView): Uint8Array {
  return Buffer.from(initdataDigest, 'hex')
}

function reportDataOf(answer: EvidenceAnswer, nonce: Uint8Array): Uint8Array {
  const [agentKey, channelKey] = [answer.agentKey, answer.channelKey].map((text) =>
    Buffer.from(text, 'base64'),
  )
  assert.ok(agentKey && channelKey)
  return verifyReportData(nonce, agentKey, channelKey)
}

/** Descriptors: 3 the file for memory dumps, 4 the unified kernel, 5 the firmware, 6 the agent's root, 7 the initdata, 8 the disk. */
function commandLine(id: string, sshPort: number, initdata: Uint8Array): string[] {
  const td = {
    'qom-type': 'tdx-guest',
    id: 'tdx0',
    'sept-ve-disable': true,
    mrconfigid: Buffer.concat([initdata, Buffer.alloc(16)]).toString('base64'),
    'quote-generation-socket': { type: 'unix', path: '/var/run/tdx-qgs/qgs.socket' },
  }
  const system = {
    driver: 'qcow2',
    'node-name': 'system',
    discard: 'unmap',
    backing: null,
    file: { driver: 'file', filename: '/dev/fdset/4', discard: 'unmap' },
  }
  const virtio = 'disable-legacy=on,iommu_platform=on'
  const port = (name: string, nr: number) => [
    '-chardev',
    `socket,id=${name},path=${name}.sock,server=on,wait=off`,
    '-device',
    `virtserialport,bus=ports.0,nr=${nr},chardev=${name},name=cloister.${name}`,
  ]
  const disk = (name: string, errors: string) => [
    '-device',
    `virtio-blk-pci,drive=${name},serial=cloister-${name},${errors},rerror=report,${virtio}`,
  ]
  const readOnly = (name: string, set: number) => [
    '-blockdev',
    `driver=raw,node-name=${name},read-only=on,file.driver=file,file.filename=/dev/fdset/${set}`,
  ]
  return [
    ['-name', `guest=cloister-${id},debug-threads=on`],
    ['-nodefaults', '-no-user-config', '-display', 'none', '-sandbox'],
    ['on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny', '-S', '-machine'],
    [
      'q35,vmport=off,smm=off,sata=off,smbus=off,usb=off,graphics=off,hpet=off,i8042=off,mem-merge=off,dump-guest-core=off,kernel-irqchip=split,confidential-guest-support=tdx0,memory-backend=ram0',
    ],
    ['-accel', 'kvm', '-cpu', 'host', '-smp', '3', '-m', '1024M', '-rtc', 'base=utc'],
    ['-action', 'reboot=shutdown,panic=exit-failure'],
    ['-chardev', 'socket,id=qmp,path=qmp.sock,server=on,wait=off,logfile=qmp.log,logappend=on'],
    ['-mon', 'chardev=qmp,mode=control'],
    ['-object', 'memory-backend-memfd,id=ram0,size=1024M,share=on', '-object', JSON.stringify(td)],
    ['-bios', '/proc/self/fd/5', '-kernel', '/proc/self/fd/4'],
    ['-device', `virtio-serial-pci,id=ports,max_ports=4,${virtio}`],
    port('stage', 1),
    port('agent', 2),
    port('net', 3),
    ['-add-fd', 'fd=6,set=1', ...readOnly('root', 1), ...disk('root', 'werror=report')],
    ['-add-fd', 'fd=7,set=2', ...readOnly('initdata', 2), ...disk('initdata', 'werror=report')],
    ['-add-fd', 'fd=8,set=4', '-blockdev', JSON.stringify(system)],
    disk('system', 'werror=enospc'),
    ['-chardev', 'socket,id=console,path=console.sock,server=on,wait=off'],
    ['-device', 'isa-serial,chardev=console'],
    ['-netdev', `user,id=net0,ipv6=off,hostfwd=tcp:127.0.0.1:${sshPort}-10.0.2.15:22`],
    ['-device', `virtio-net-pci,netdev=net0,romfile=,${virtio}`],
  ].flat()
}

/** Exact arguments of each driver, its refusals, and its dialogue with QEMU. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { guidToBytes } from '@cloister/verifier/formats/guid'
import { OVMF_GUID } from '@cloister/verifier/formats/ovmf'
import { qemuArguments, type GuestDescriptors } from '../qemu-arguments.ts'
import * as hosts from '../testing/hosts.ts'
import {
  amdSevFirmware,
  efiKernel,
  seImage,
  tdxFirmware,
  unifiedKernel,
  unifiedParts,
} from '../testing/measured-files.ts'
import type { Accelerator, TeeId, VmSpec } from '../vm-spec.ts'
import { DRIVERS, driverOf } from './table.ts'

const folder = await mkdtemp(join(tmpdir(), 'drivers-'))
after(() => rm(folder, { recursive: true }))
const file = async (name: string, content: Uint8Array | string) => {
  const path = join(folder, name)
  await writeFile(path, content)
  return path
}
const kernel = await file('kernel', 'kernel')
const initrd = await file('initrd', 'initrd')
const amd = await file('amdsev.fd', amdSevFirmware())
const intel = await file('inteltdx.fd', tdxFirmware())
const unified = await file('unified.efi', unifiedKernel())
const plain = await file('plain.fd', new Uint8Array(4096))
const sealed = await file('se.img', seImage())

const DESCRIPTORS: GuestDescriptors = { kernel: 3, initrd: 4, firmware: 5 }
const UNIFIED: GuestDescriptors = { kernel: 3, firmware: 5 }

function specFor(tee: TeeId, change: Partial<VmSpec> = {}): VmSpec {
  const firmware = tee === 'tdx' ? intel : amd
  return {
    id: 'v1',
    runtimeDirectory: '/r',
    stateDirectory: '/s',
    tee,
    mode: 'hardware',
    boot: {
      kernel: tee === 'se' ? sealed : kernel,
      initrd,
      firmware,
      ...(tee === 'tdx' && { unifiedKernel: unified }),
    },
    commandLine: 'cloister.mode=hardware',
    cpus: 2,
    memoryMiB: 2048,
    scratchMiB: 0,
    hostData: Buffer.alloc(32, 0xab),
    ports: [],
    ...change,
  }
}

const hostOf = (host: hosts.FakeHost, accelerator: Accelerator = 'kvm') => ({
  accelerator,
  view: hosts.fakeHostView(host),
})

/** The words of a whole command line that the driver decides. */
async function words(spec: VmSpec, host: hosts.FakeHost, descriptors = DESCRIPTORS) {
  const tee = await driverOf(spec.tee).arguments(spec, hostOf(host))
  const { machine: _, ...rest } = spec
  const hardware = {
    ...rest,
    accelerator: 'kvm',
    isSingleThreaded: false,
    debugSerial: false,
  } as const
  const all = qemuArguments(hardware, descriptors, tee)
  const value = (option: string) => all[all.indexOf(option) + 1]
  const objects = all.flatMap((word, index) => (word === '-object' ? [all[index + 1]] : []))
  return { all, value, objects }
}

const Q35 =
  'q35,vmport=off,smm=off,sata=off,smbus=off,usb=off,graphics=off,hpet=off,i8042=off,mem-merge=off,dump-guest-core=off'
const HOST_DATA = 'q6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6s='

test('snp: the whole of what QEMU is told', async () => {
  const { all, value, objects } = await words(specFor('snp'), hosts.GENOA_SNP)
  assert.equal(
    value('-machine'),
    `${Q35},kernel-irqchip=split,confidential-guest-support=snp0,memory-backend=ram0`,
  )
  assert.equal(value('-cpu'), 'EPYC-v4')
  assert.equal(value('-accel'), 'kvm')
  assert.deepEqual(objects, [
    'memory-backend-memfd,id=ram0,size=2048M,share=on',
    `sev-snp-guest,id=snp0,cbitpos=51,reduced-phys-bits=1,policy=0x30000,kernel-hashes=on,host-data=${HOST_DATA}`,
  ])
  assert.equal(value('-bios'), '/proc/self/fd/5')
  assert.equal(value('-m'), '2048M')
  assert.ok(!all.join(' ').includes('cloister.tee'))
})

test('snp: ID block, author key and policy', async () => {
  const idBlock = {
    block: new Uint8Array(96),
    authentication: new Uint8Array(4096),
    hasAuthorKey: true,
  }
  const spec = specFor('snp', { idBlock, guestPolicy: 0x1130000n })
  const { objects } = await words(spec, hosts.GENOA_SNP)
  const options = objects[1]?.split(',') ?? []
  assert.ok(options.includes('policy=0x1130000'))
  assert.ok(options.includes(`id-block=${Buffer.alloc(96).toString('base64')}`))
  assert.ok(options.includes(`id-auth=${Buffer.alloc(4096).toString('base64')}`))
  assert.ok(options.includes('author-key-enabled=on'))
})

const REFUSED: readonly [string, VmSpec, hosts.FakeHost, string][] = [
  ['snp without RMP', specFor('snp'), hosts.GENOA_NO_RMP, 'tee.unavailable'],
  ['snp without ASIDs', specFor('snp'), hosts.GENOA_NO_ASIDS, 'tee.unavailable'],
  ['snp in a full cgroup', specFor('snp'), hosts.GENOA_CGROUP_FULL, 'tee.unavailable'],
  ['snp with an old QEMU', specFor('snp'), hosts.GENOA_OLD_QEMU, 'qemu.too-old'],
  ['snp on Intel', specFor('snp'), hosts.XEON_TDX, 'tee.unavailable'],
  [
    'snp with firmware without hashes table',
    specFor('snp', { boot: { kernel, initrd, firmware: plain } }),
    hosts.GENOA_SNP,
    'tee.firmware-unfit',
  ],
  [
    'snp without firmware',
    specFor('snp', { boot: { kernel, initrd } }),
    hosts.GENOA_SNP,
    'tee.firmware-missing',
  ],
  [
    'snp with debugging',
    specFor('snp', { guestPolicy: 0xb0000n }),
    hosts.GENOA_SNP,
    'vm.spec-invalid',
  ],
  [
    'snp with a migration agent',
    specFor('snp', { guestPolicy: 0x70000n }),
    hosts.GENOA_SNP,
    'vm.spec-invalid',
  ],
  [
    'snp without the bit that must be one',
    specFor('snp', { guestPolicy: 0x10000n }),
    hosts.GENOA_SNP,
    'vm.spec-invalid',
  ],
  [
    'snp with a vCPU type of no known signature',
    specFor('snp', { vcpuType: 'host' }),
    hosts.GENOA_SNP,
    'vm.spec-invalid',
  ],
  [
    'snp with a short ID block',
    specFor('snp', {
      idBlock: {
        block: new Uint8Array(95),
        authentication: new Uint8Array(4096),
        hasAuthorKey: false,
      },
    }),
    hosts.GENOA_SNP,
    'vm.spec-invalid',
  ],
  [
    'sev-es with the policy of sev',
    specFor('sev-es', { guestPolicy: 1n }),
    hosts.NAPLES,
    'vm.spec-invalid',
  ],
  [
    'sev with the policy of sev-es',
    specFor('sev', { guestPolicy: 5n }),
    hosts.NAPLES,
    'vm.spec-invalid',
  ],
  ['sev with debugging', specFor('sev', { guestPolicy: 2n }), hosts.NAPLES, 'vm.spec-invalid'],
  ['tdx switched off', specFor('tdx'), hosts.XEON_TDX_OFF, 'tee.unavailable'],
  ['tdx without a key id left', specFor('tdx'), hosts.XEON_NO_KEYS, 'tee.unavailable'],
  ['tdx in a full cgroup', specFor('tdx'), hosts.XEON_CGROUP_FULL, 'tee.unavailable'],
  ['tdx with an old QEMU', specFor('tdx'), hosts.XEON_OLD_QEMU, 'qemu.too-old'],
  ['tdx without a quote service', specFor('tdx'), hosts.XEON_NO_QGS, 'tee.unavailable'],
  ['tdx with a closed quote service', specFor('tdx'), hosts.XEON_QGS_CLOSED, 'tee.unavailable'],
  [
    'tdx with firmware of AMD',
    specFor('tdx', { boot: { kernel, initrd, firmware: amd } }),
    hosts.XEON_TDX,
    'tee.firmware-unfit',
  ],
  ['tdx with an ID block', specFor('tdx', { guestPolicy: 1n }), hosts.XEON_TDX, 'vm.spec-invalid'],
  ['se on another machine', specFor('se'), hosts.Z14, 'tee.unavailable'],
  [
    'se with a kernel that is no SE image',
    specFor('se', { boot: { kernel, initrd } }),
    hosts.Z16,
    'tee.firmware-unfit',
  ],
]
for (const [name, spec, host, code] of REFUSED)
  test(`${name} is refused with ${code}`, async () => {
    await assert.rejects(driverOf(spec.tee).arguments(spec, hostOf(host)), { code })
  })

test('no hardware TEE starts under emulation', async () => {
  const able = { snp: hosts.GENOA_SNP, sev: hosts.NAPLES, tdx: hosts.XEON_TDX, se: hosts.Z16 }
  for (const [tee, host] of Object.entries(able))
    await assert.rejects(
      DRIVERS[tee as TeeId].arguments(specFor(tee as TeeId), hostOf(host, 'tcg')),
      { code: 'tee.unavailable' },
    )
})

test('sev and sev-es: objects, pflash, and the C-bit of the processor', async () => {
  const es = await words(specFor('sev-es'), hosts.GENOA_SNP)
  assert.deepEqual(es.objects, [
    'sev-guest,id=sev0,cbitpos=51,reduced-phys-bits=1,policy=0xf,kernel-hashes=on',
  ])
  assert.equal(es.value('-machine'), `${Q35},kernel-irqchip=split,confidential-guest-support=sev0`)
  assert.equal(es.value('-drive'), 'if=pflash,unit=0,format=raw,readonly=on,file=/dev/fdset/9')
  assert.ok(es.all.includes('fd=5,set=9') && !es.all.includes('-bios'))
  const old = await words(specFor('sev'), hosts.NAPLES)
  assert.deepEqual(old.objects, [
    'sev-guest,id=sev0,cbitpos=47,reduced-phys-bits=1,policy=0xb,kernel-hashes=on',
  ])
})

test("sev-es: the owner's session goes in by descriptors", async () => {
  const descriptors = { ...DESCRIPTORS, sevCertificate: 6, sevSession: 7 }
  const { objects } = await words(specFor('sev-es'), hosts.NAPLES, descriptors)
  assert.deepEqual(objects, [
    'sev-guest,id=sev0,cbitpos=47,reduced-phys-bits=1,policy=0xf,kernel-hashes=on,dh-cert-file=/proc/self/fd/6,session-file=/proc/self/fd/7',
  ])
})

test('sev: a launch with its owner needs firmware with an area for a secret', async () => {
  const sevSession = { certificate: '', session: '', releaseSecret: async () => undefined }
  await words(specFor('sev', { sevSession }), hosts.NAPLES)
  const bytes = amdSevFirmware()
  const at = Buffer.from(bytes).indexOf(guidToBytes(OVMF_GUID.launchSecret))
  bytes.fill(0, at - 10, at - 2)
  const firmware = await file('without-area.fd', bytes)
  await assert.rejects(
    words(specFor('sev', { sevSession, boot: { kernel, initrd, firmware } }), hosts.NAPLES),
    { code: 'tee.firmware-unfit' },
  )
})

test('tdx: the object as JSON, with the initdata digest in MRCONFIGID', async () => {
  const { value, objects, all } = await words(specFor('tdx'), hosts.XEON_TDX, UNIFIED)
  assert.equal(
    value('-machine'),
    `${Q35},kernel-irqchip=split,confidential-guest-support=tdx0,memory-backend=ram0`,
  )
  assert.equal(value('-cpu'), 'host')
  assert.equal(value('-bios'), '/proc/self/fd/5')
  assert.equal(objects[0], 'memory-backend-memfd,id=ram0,size=2048M,share=on')
  assert.deepEqual(JSON.parse(objects[1] ?? ''), {
    'qom-type': 'tdx-guest',
    id: 'tdx0',
    'sept-ve-disable': true,
    mrconfigid: Buffer.concat([Buffer.alloc(32, 0xab), Buffer.alloc(16)]).toString('base64'),
    'quote-generation-socket': { type: 'unix', path: '/var/run/tdx-qgs/qgs.socket' },
  })
  assert.ok(!all.includes('-drive'))
  // A command line of the host's would take the place of the measured one.
  assert.equal(value('-kernel'), '/proc/self/fd/3')
  assert.ok(!all.includes('-initrd') && !all.includes('-append'))
})

test('se: the machine of s390x with channel devices', async () => {
  const { value, objects, all } = await words(specFor('se'), hosts.Z16, {
    kernel: 3,
    initrd: 4,
    scratch: 5,
  })
  assert.equal(
    value('-machine'),
    's390-ccw-virtio,mem-merge=off,dump-guest-core=off,confidential-guest-support=pv0',
  )
  assert.deepEqual(objects, ['s390-pv-guest,id=pv0'])
  assert.ok(all.includes('virtio-serial-ccw,id=ports,max_ports=4,iommu_platform=on'))
  assert.ok(all.includes('virtio-net-ccw,netdev=net0,iommu_platform=on'))
  assert.ok(all.some((word) => word.startsWith('virtio-blk-ccw,drive=scratch,')))
  assert.ok(!all.some((word) => word.includes('-pci')))
})

test('predict() names what Evidence will hold', async () => {
  const snp = await DRIVERS.snp.predict(specFor('snp', { cpus: 1, commandLine: 'console=ttyS0' }))
  assert.match(snp['measurement'] ?? '', /^[0-9a-f]{96}$/)
  assert.equal(snp['hostData'], 'ab'.repeat(32))
  // The digest speaks of vCPU type and count, and of the command line.
  for (const change of [{ cpus: 2 }, { vcpuType: 'EPYC-Genoa' }, { commandLine: 'x' }])
    assert.notEqual(
      (
        await DRIVERS.snp.predict(
          specFor('snp', { cpus: 1, commandLine: 'console=ttyS0', ...change }),
        )
      )['measurement'],
      snp['measurement'],
    )
  const es = await DRIVERS['sev-es'].predict(specFor('sev-es'))
  const sev = await DRIVERS.sev.predict(specFor('sev'))
  assert.match(es['launchDigest'] ?? '', /^[0-9a-f]{64}$/)
  assert.notEqual(es['launchDigest'], sev['launchDigest'])
  assert.deepEqual(await DRIVERS.se.predict(specFor('se')), {
    pageListDigest: '01'.repeat(64),
    addressListDigest: '02'.repeat(64),
    tweakListDigest: '03'.repeat(64),
    headerTag: '04'.repeat(16),
  })
})

test('tdx: predict() names MRTD, and RTMR1 and RTMR2 of the unified kernel', async () => {
  const parts = unifiedParts()
  const image = unifiedKernel()
  const sha384 = (...parts: (Uint8Array | string)[]) => {
    const hash = createHash('sha384')
    for (const part of parts) hash.update(part)
    return hash.digest()
  }
  const extend = (...digests: Buffer[]) =>
    digests.reduce((register, digest) => sha384(register, digest), Buffer.alloc(48))
  // All of the file but the checksum and the entry of the certificate table.
  const authenticode = (file: Buffer) =>
    sha384(file.subarray(0, 0xd8), file.subarray(0xdc, 0x128), file.subarray(0x130))
  const rtmr1 = extend(
    authenticode(image),
    sha384('Calling EFI Application from Boot Option'),
    sha384('\0\0\0\0'),
    authenticode(parts['.linux']),
    sha384('Exit Boot Services Invocation'),
    sha384('Exit Boot Services Returned with Success'),
  )
  const sections = (['.linux', '.cmdline', '.initrd'] as const).flatMap((name) => [
    sha384(`${name}\0`),
    sha384(parts[name]),
  ])
  const line = sha384(Buffer.from('quiet\0', 'utf16le'))
  assert.deepEqual(await DRIVERS.tdx.predict(specFor('tdx')), {
    mrConfigId: `${'ab'.repeat(32)}${'00'.repeat(16)}`,
    // One zero page at 0x800000, added and measured: golden, of another implementation.
    mrTd: '2018ffec224c87d39aa275ee29f5ada8af1b1578444806b71ad00dd07dff9714c31159f54ba1d727611dcd58f5e8e586',
    rtmr1: rtmr1.toString('hex'),
    rtmr2: extend(...sections, line, sha384(parts['.initrd'])).toString('hex'),
  })
})

test('tdx: nothing is predicted, and nothing started, of which a part is not measured', async () => {
  const { '.text': _, ...withoutStub } = unifiedParts()
  const cases: readonly (readonly [string, Readonly<Record<string, Buffer>>])[] = [
    ['no stub', withoutStub],
    ['a stub that measures nothing', { ...unifiedParts(), '.text': Buffer.from('code') }],
    ['a kernel that measures nothing', { ...unifiedParts(), '.linux': Buffer.from(efiKernel()) }],
    ['a section that changes the initrd', { ...unifiedParts(), '.osrel': Buffer.from('ID=x') }],
  ]
  for (const [name, parts] of cases) {
    const unified = await file(`${name}.efi`, unifiedKernel(parts))
    const spec = specFor('tdx', {
      boot: { kernel, initrd, firmware: intel, unifiedKernel: unified },
    })
    await assert.rejects(DRIVERS.tdx.predict(spec), { code: 'tee.firmware-unfit' }, name)
    const started = DRIVERS.tdx.arguments(spec, hostOf(hosts.XEON_TDX))
    await assert.rejects(started, { code: 'tee.firmware-unfit' }, name)
  }
  const none = specFor('tdx', { boot: { kernel, initrd, firmware: intel } })
  await assert.rejects(DRIVERS.tdx.predict(none), { code: 'vm.file-missing' })
})

test('sev and sev-es boot a disk by firmware: no hashes of a kernel, and flash for its variables', async () => {
  const machine = {
    systemDisk: { path: '/d', format: 'qcow2' },
    network: { kind: 'user' },
    hasConsole: false,
  } as const
  for (const [tee, policy] of [
    ['sev', '0xb'],
    ['sev-es', '0xf'],
  ] as const) {
    const boot = { code: amd, variables: '/v', secureBoot: false }
    const spec = specFor(tee, { boot, machine, commandLine: '' })
    const driver = await DRIVERS[tee].arguments(spec, hostOf(hosts.NAPLES))
    assert.deepEqual(driver.objects({}), [
      `sev-guest,id=sev0,cbitpos=47,reduced-phys-bits=1,policy=${policy}`,
    ])
    const { launchDigest } = await DRIVERS[tee].predict(spec)
    assert.notEqual(launchDigest, (await DRIVERS[tee].predict(specFor(tee)))['launchDigest'])
    if (tee === 'sev')
      assert.equal(launchDigest, createHash('sha256').update(amdSevFirmware()).digest('hex'))
  }
})

test('a machine under an older emulation gets a processor that does not harm its kernel', async () => {
  const machine = {
    systemDisk: { path: '/d', format: 'qcow2' },
    network: { kind: 'user' },
    hasConsole: false,
  } as const
  const boot = { code: '/c', variables: '/v', secureBoot: true }
  const cpu = async (
    tee: TeeId | 'none',
    host: hosts.FakeHost,
    accelerator: Accelerator,
    change = {},
  ) => {
    const spec = { ...specFor('simulated', change), tee }
    return (await driverOf(tee).arguments(spec, hostOf(host, accelerator))).cpu
  }
  const plain = { boot, machine }
  assert.equal(await cpu('none', hosts.PLAIN_VM, 'tcg', plain), 'EPYC-Rome,-cx16')
  assert.equal(await cpu('none', hosts.GENOA_SNP, 'tcg', plain), 'EPYC-Rome')
  assert.equal(await cpu('none', hosts.PLAIN_VM, 'kvm', plain), 'host')
  assert.equal(await cpu('simulated', hosts.PLAIN_VM, 'tcg', { machine }), 'EPYC-Rome,-cx16')
  assert.equal(await cpu('simulated', hosts.PLAIN_VM, 'tcg'), 'EPYC-Rome')
})

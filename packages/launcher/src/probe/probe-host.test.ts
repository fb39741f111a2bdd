import assert from 'node:assert/strict'
import { test } from 'node:test'
import { directories } from '@cloister/protocol/directories'
import type { AcceleratorChoice } from '../vm-spec.ts'
import * as hosts from '../testing/hosts.ts'
import { amdSevFirmware, tdxFirmware } from '../testing/measured-files.ts'
import { probeHost } from './probe-host.ts'
import { branch, finding, leavesOf, pass } from './probe-node.ts'

const KVM: AcceleratorChoice = { accelerator: 'kvm' }

async function probe(host: hosts.FakeHost, accelerator = KVM) {
  const view = hosts.fakeHostView(host)
  const request = { directories: directories({ CLOISTER_HOME: '/none' }), view, accelerator }
  return probeHost(request)
}

/** Leaves of one TEE that stand in its way. */
async function missing(host: hosts.FakeHost, tee: string): Promise<readonly string[] | undefined> {
  const { tees } = await probe(host)
  return tees.find((verdict) => verdict.tee === tee)?.missing
}

test('probeHost() finds what hosts can run', async () => {
  assert.deepEqual((await probe(hosts.GENOA_SNP)).canRun, ['snp', 'sev-es', 'sev', 'simulated'])
  assert.deepEqual((await probe(hosts.NAPLES)).canRun, ['sev-es', 'sev', 'simulated'])
  assert.deepEqual((await probe(hosts.XEON_TDX)).canRun, ['tdx', 'simulated'])
  assert.deepEqual((await probe(hosts.Z16)).canRun, ['simulated'])
  assert.deepEqual((await probe(hosts.PLAIN_VM, { accelerator: 'tcg' })).canRun, ['simulated'])
  assert.deepEqual((await probe({})).canRun, [])
})

const FIRMWARE = '/none/images/base/OVMF.amdsev.fd'
const TDX_FIRMWARE = '/none/images/base/OVMF.inteltdx.fd'
const TDX_STUB = '/none/images/base/linuxx64.efi.stub'

test('probeHost() says which TEEs run VMs only, and looks at what the guest image has for them', async () => {
  const state = async (host: hosts.FakeHost) =>
    new Map(leavesOf((await probe(host)).tree).map(({ id, state }) => [id, state]))
  const bare = await state(hosts.XEON_TDX)
  assert.deepEqual(
    ['tdx.workloads', 'tdx.firmware', 'tdx.stub'].map((id) => bare.get(id)),
    ['warn', 'warn', 'warn'],
  )
  const binaries = { [TDX_FIRMWARE]: tdxFirmware(), [TDX_STUB]: new Uint8Array(1) }
  const fit = await state({ ...hosts.XEON_TDX, binaries })
  assert.deepEqual([fit.get('tdx.firmware'), fit.get('tdx.stub')], ['pass', 'pass'])
  const amd = await state(hosts.GENOA_SNP)
  assert.deepEqual([amd.get('sev-es.workloads'), amd.has('snp.workloads')], ['warn', false])
})

const CASES: readonly [string, hosts.FakeHost, string, readonly string[]][] = [
  ['no RMP', hosts.GENOA_NO_RMP, 'snp', ['snp.kvm']],
  ['no ASID left', hosts.GENOA_NO_ASIDS, 'snp', ['snp.asids']],
  ['no keys for ES', hosts.GENOA_NO_ES_KEYS, 'snp', ['snp.asids']],
  ['a full cgroup', hosts.GENOA_CGROUP_FULL, 'snp', ['snp.asids']],
  ['an old QEMU', hosts.GENOA_OLD_QEMU, 'snp', ['snp.qemu']],
  ['a closed /dev/sev', hosts.GENOA_DEVICE_CLOSED, 'snp', ['snp.device']],
  ['no /dev/sev', hosts.GENOA_NO_DEVICE, 'snp', ['snp.device']],
  ['no kvm_amd', hosts.GENOA_NO_MODULE, 'sev', ['sev.kvm']],
  [
    'firmware without room for hashes',
    { ...hosts.GENOA_SNP, binaries: { [FIRMWARE]: new Uint8Array(4096) } },
    'snp',
    ['snp.firmware'],
  ],
  ['fit firmware', { ...hosts.GENOA_SNP, binaries: { [FIRMWARE]: amdSevFirmware() } }, 'snp', []],
  ['an older EPYC', hosts.NAPLES, 'snp', ['snp.cpu', 'snp.qemu']],
  ['TDX hidden by the firmware', hosts.XEON_NO_TDX_BIOS, 'tdx', ['tdx.cpu']],
  ['TDX off in the kernel', hosts.XEON_TDX_OFF, 'tdx', ['tdx.kvm']],
  ['no quote service', hosts.XEON_NO_QGS, 'tdx', ['tdx.quotes']],
  ['a quote service closed to QEMU', hosts.XEON_QGS_CLOSED, 'tdx', ['tdx.quotes']],
  [
    'firmware without TDX metadata',
    { ...hosts.XEON_TDX, binaries: { [TDX_FIRMWARE]: amdSevFirmware() } },
    'tdx',
    ['tdx.firmware'],
  ],
  ['no key id left', hosts.XEON_NO_KEYS, 'tdx', ['tdx.keys']],
  ['a full cgroup', hosts.XEON_CGROUP_FULL, 'tdx', ['tdx.keys']],
  ['an old QEMU', hosts.XEON_OLD_QEMU, 'tdx', ['tdx.qemu']],
  ['another vendor', hosts.XEON_TDX, 'snp', ['snp.cpu']],
  ['nothing amiss', hosts.Z16, 'se', ['se.workloads']],
  ['no prot_virt', hosts.Z16_NO_PROT_VIRT, 'se', ['se.ultravisor', 'se.workloads']],
  ['an older machine', hosts.Z14, 'se', ['se.cpu', 'se.ultravisor', 'se.workloads']],
]
for (const [name, host, tee, ids] of CASES)
  test(`probeHost() says what ${tee} lacks on a host with ${name}`, async () => {
    assert.deepEqual(await missing(host, tee), ids)
  })

test('every leaf that fails has a reason and a fix; the ids are unique', async () => {
  const all = Object.values(hosts).filter(
    (value): value is hosts.FakeHost => typeof value === 'object' && 'files' in value,
  )
  for (const host of [...all, {}]) {
    const leaves = leavesOf((await probe(host)).tree)
    assert.equal(new Set(leaves.map(({ id }) => id)).size, leaves.length)
    for (const leaf of leaves) {
      if (leaf.state !== 'pass') assert.ok(leaf.reason, leaf.id)
      if (leaf.state === 'fail') assert.ok(leaf.fix.length > 0, leaf.id)
    }
  }
})

test('a hardware TEE needs KVM that ran a guest', async () => {
  const { canRun, verdict } = await probe(hosts.GENOA_SNP, { accelerator: 'tcg', reason: 'hung' })
  assert.deepEqual(canRun, ['simulated'])
  assert.match(verdict, /^can run: simulated; cannot run: snp \(1 fix\), tdx \(another host\)/)
})

test('what VMs lack is told, and stops no TEE', async () => {
  const host = {
    ...hosts.GENOA_SNP,
    programs: ['setpriv', 'prlimit', 'dpkg-deb'],
    hasFirmware: false,
  }
  const { tree, canRun } = await probe(host)
  const machines = tree.find(({ id }) => id === 'vm')
  assert.equal(machines?.state, 'warn')
  assert.deepEqual(
    leavesOf(machines === undefined ? [] : [machines]).map(({ id, state }) => [id, state]),
    [
      ['vm.firmware', 'warn'],
      ['vm.qemu-img', 'warn'],
      ['vm.swtpm', 'warn'],
      ['vm.swtpm_setup', 'warn'],
      ['vm.tun', 'skip'],
    ],
  )
  assert.ok(canRun.includes('snp'))
})

test('probeHost() stops when it is told to', async () => {
  const signal = AbortSignal.abort(new Error('enough'))
  await assert.rejects(probeHost({ directories: directories({}), signal }), { message: 'enough' })
})

test('a branch is as bad as its worst child', () => {
  const name = { id: 'x', title: 'X' }
  const good = pass(name, 'seen')
  assert.equal(branch('b', 'B', []).state, 'skip')
  assert.equal(branch('b', 'B', [good]).state, 'pass')
  const unknown = finding(name, 'unknown', 'e', 'r')
  assert.equal(branch('b', 'B', [good, unknown]).state, 'unknown')
  const inner = branch('c', 'C', [finding(name, 'fail', 'e', 'r')])
  assert.equal(branch('b', 'B', [unknown, inner, good]).state, 'fail')
})

test('probeHost() looks at this very host quickly and without failing', async () => {
  const found = await probeHost({ directories: directories() })
  assert.ok(found.verdict.startsWith('can run: '))
})

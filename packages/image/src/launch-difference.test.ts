import assert from 'node:assert/strict'
import { test } from 'node:test'

import { toHex } from '@cloister/verifier/bytes/hex'
import { WITH_VECTORS, vector } from '@cloister/verifier/testing/vectors'

import {
  PLAIN_FEATURES,
  explainLaunch,
  findVariant,
  imageLaunch,
  launchDifferences,
} from './launch-difference.ts'
import type { LaunchSide, LaunchVariant } from './launch-difference.ts'
import { temporaryDirectory } from './testing/temporary-directory.ts'

const FILE = { file: 'fw.fd', sha256: '1'.repeat(64), size: 1 }
const IMAGE = {
  kernel: { ...FILE, release: '6.12.0' },
  initrd: { ...FILE, sha256: '2'.repeat(64) },
  firmware: { snp: { ...FILE, package: 'p', packageVersion: '1' } },
  commandLines: { hardware: 'a=1 b c', simulated: 'a=2 b c', probe: 'p', debug: 'c b a=1' },
}
const ONE: LaunchVariant = {
  mode: 'hardware',
  vcpuType: 'EPYC-v4',
  vcpus: 1,
  features: PLAIN_FEATURES,
}
const side = (
  variant: Partial<LaunchVariant> = {},
  image: Partial<typeof IMAGE> = {},
): LaunchSide => ({
  image: { ...IMAGE, ...image },
  variant: { ...ONE, ...variant },
})

test('each input that differs is named, and nothing else', () => {
  const names = (b: LaunchSide) => launchDifferences(side(), b).map(({ what }) => what)
  assert.deepEqual(names(side()), [])
  // One signature, so one digest.
  assert.deepEqual(names(side({ vcpuType: 'EPYC-v3' })), [])
  assert.deepEqual(names(side({ vcpuType: 'EPYC-Genoa' })), ['vCPU type'])
  assert.deepEqual(names(side({ vcpus: 2 })), ['vCPU count'])
  assert.deepEqual(names(side({ features: 0x21n })), ['SEV features'])
  assert.deepEqual(names(side({}, { kernel: { ...IMAGE.kernel, sha256: '3'.repeat(64) } })), [
    'kernel',
  ])
  assert.deepEqual(names(side({}, { initrd: { ...FILE, sha256: '3'.repeat(64) } })), ['initrd'])
  const snp = { ...IMAGE.firmware.snp, sha256: '4'.repeat(64) }
  assert.deepEqual(names(side({}, { firmware: { snp } })), ['firmware'])
  const tdx = { ...snp, sha256: '5'.repeat(64) }
  const both = { firmware: { ...IMAGE.firmware, tdx }, unifiedKernel: FILE }
  assert.deepEqual(names({ ...side(), image: { ...IMAGE, ...both } }), [
    'firmware for TDX',
    'unified kernel for TDX',
  ])
  assert.deepEqual(launchDifferences(side(), side({ mode: 'simulated' })), [
    { what: 'command line', a: 'a=1', b: 'a=2' },
  ])
  assert.deepEqual(launchDifferences(side(), side({ mode: 'debug' })), [
    { what: 'order of the command line', a: 'a=1 b c', b: 'c b a=1' },
  ])
  const longer = { ...IMAGE.commandLines, hardware: 'a=1 b c console=ttyS0' }
  assert.deepEqual(launchDifferences(side(), side({}, { commandLines: longer })), [
    { what: 'command line', a: '', b: 'console=ttyS0' },
  ])
})

test(
  'a digest is found among types, counts and features, and explained page by page',
  WITH_VECTORS,
  async (context) => {
    const firmware = vector('measure/ovmf_AmdSev_suffix.bin')
    const directory = await temporaryDirectory(context, { 'fw.fd': firmware })
    const launch = await imageLaunch(directory, IMAGE, 'hardware')
    const wanted = { ...ONE, vcpuType: 'EPYC-Milan', vcpus: 3, features: 0x21n } as const
    const digest = toHex(await launch.digest(wanted))
    assert.deepEqual(await findVariant(directory, IMAGE, digest), wanted)
    assert.equal(await findVariant(directory, IMAGE, '0'.repeat(96)), undefined)
    const contributions = await explainLaunch(launch, wanted)
    assert.equal(contributions.at(-1)?.digest, digest)
    assert.equal(contributions[0]?.what, 'firmware')
    assert.ok(contributions.some(({ what }) => what === 'kernelHashes'))
    assert.equal(contributions.filter(({ what }) => what.startsWith('vCPU')).length, 3)
  },
)

import assert from 'node:assert/strict'
import { test } from 'node:test'

import { OVMF_SHA256, WITH_OVMF, debianOvmf } from '@cloister/verifier/testing/debian-ovmf'

import { measureFirmware } from './firmware-measurement.ts'

const ONE = { vcpuType: 'EPYC-v4', vcpus: 1 } as const

test('golden values of a firmware for each TEE', WITH_OVMF, async () => {
  const firmware = debianOvmf() as Uint8Array
  const value = async (tee: 'sev' | 'sev-es' | 'snp' | 'tdx', vcpus = 1) =>
    (await measureFirmware(tee, { firmware, ...ONE, vcpus }))[0]?.value
  assert.equal(await value('sev'), OVMF_SHA256)
  assert.equal(
    await value('sev-es', 2),
    '5b1d28d8e8b3c2c9939d39bf18a7f05b16935279425c1c1e1ab19109acca9ffd',
  )
  assert.equal(
    await value('snp', 4),
    '32ac9d7a17d28f7cd4404a4516d2f00519668c40ada2062351c36767e908eb3f090d66c33ab10f80150e00a4385b6d0f',
  )
  assert.equal(
    await value('tdx'),
    '4c7206f0f483c524f12c366c711e9049030a8d47c471ee5aa9c4999a08de4057fb887fed0744d5631a212967fb231c47',
  )
  const kernel = Uint8Array.of(1)
  // This build has no table of kernel hashes: a kernel would go unmeasured.
  await assert.rejects(measureFirmware('snp', { firmware, kernel, ...ONE }), RangeError)
  const booted = await measureFirmware('tdx', { firmware, kernel, commandLine: 'quiet', ...ONE })
  assert.deepEqual(
    booted.map(({ register }) => register),
    ['MRTD', 'RTMR2'],
  )
})

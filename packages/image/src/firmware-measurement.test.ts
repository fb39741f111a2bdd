import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'

import { FormatError } from '@cloister/verifier/bytes/format-error'
import { OVMF_SHA256, WITH_OVMF, debianOvmf } from '@cloister/verifier/testing/debian-ovmf'
import { peImage } from '@cloister/verifier/testing/pe-image'

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
  await assert.rejects(measureFirmware('tdx', { firmware, kernel, ...ONE }), FormatError)
  const image = peImage(new Uint8Array(8))
  const boot = { firmware, kernel: image, commandLine: 'quiet', ...ONE }
  const booted = await measureFirmware('tdx', boot)
  assert.deepEqual(
    booted.map(({ register }) => register),
    ['MRTD', 'RTMR1', 'RTMR2'],
  )
  assert.equal(booted[1]?.value, rtmr1Of(image))
})

/** By hand: the image without checksum, certificate entry and certificates, then what firmware measures around its start. */
function rtmr1Of(image: Uint8Array): string {
  const sha384 = (...parts: readonly Uint8Array[]) =>
    parts.reduce((hash, part) => hash.update(part), createHash('sha384')).digest()
  const text = (words: string) => sha384(Buffer.from(words))
  const events = [
    sha384(image.subarray(0, 0x98), image.subarray(0x9c, 0xe8), image.subarray(0xf0, 0x400)),
    text('Calling EFI Application from Boot Option'),
    sha384(new Uint8Array(4)),
    text('Exit Boot Services Invocation'),
    text('Exit Boot Services Returned with Success'),
  ]
  return events
    .reduce((register, event) => sha384(register, event), Buffer.alloc(48))
    .toString('hex')
}

import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'

import { parseTdvf } from '@cloister/verifier/formats/tdvf'
import { WITH_OVMF, debianOvmf } from '@cloister/verifier/testing/debian-ovmf'
import { peImage } from '@cloister/verifier/testing/pe-image'

import { explainFirmware, firmwareDifferences } from './firmware-explanation.ts'
import { MEASURED_TEES, measureFirmware } from './firmware-measurement.ts'

const BOOT = { vcpuType: 'EPYC-v4', vcpus: 2 } as const

test('the last contribution to each register is what the TEE reports', WITH_OVMF, async () => {
  const firmware = debianOvmf() as Uint8Array
  for (const tee of MEASURED_TEES) {
    const kernel = tee === 'tdx' ? peImage(new Uint8Array(8)) : undefined
    const boot = { firmware, ...BOOT, kernel, initrd: kernel && Uint8Array.of(1) }
    const rows = await explainFirmware(tee, boot)
    const last = new Map(rows.map(({ register, digest }) => [register, digest]))
    const expected = (await measureFirmware(tee, boot)).map(
      ({ register, value }) => [register, value] as const,
    )
    assert.deepEqual([...last], expected, tee)
    assert.ok(rows.length > expected.length || tee === 'sev', tee)
    assert.equal(new Set(rows.map(({ digest }) => digest)).size, rows.length, tee)
  }
})

test('SEV-ES adds each vCPU to what SEV measures', WITH_OVMF, async () => {
  const firmware = debianOvmf() as Uint8Array
  const rows = await explainFirmware('sev-es', { firmware, ...BOOT })
  assert.deepEqual(
    rows.map(({ what }) => what),
    ['firmware', 'vCPU 0', 'vCPU 1'],
  )
  assert.equal(rows[0]?.digest, createHash('sha256').update(firmware).digest('hex'))
})

test('two firmware files part where their contents do', WITH_OVMF, async () => {
  const firmware = debianOvmf() as Uint8Array
  const a = { firmware, ...BOOT }
  const changedAt = (offset: number) => {
    const changed = firmware.slice()
    changed[offset] = (changed[offset] as number) ^ 1
    return { firmware: changed, ...BOOT }
  }
  for (const tee of MEASURED_TEES) assert.deepEqual(await firmwareDifferences(tee, a, a), [])
  const code = parseTdvf(firmware).find(({ measured }) => measured)
  const variables = parseTdvf(firmware).find(({ measured, dataSize }) => !measured && dataSize > 0)
  assert.ok(code !== undefined && variables !== undefined)
  const inCode = changedAt(code.dataOffset + 64)
  const [difference, ...more] = await firmwareDifferences('tdx', a, inCode)
  assert.deepEqual(more, [])
  assert.match(difference?.what ?? '', /^MRTD, firmware, at 0x[0-9a-f]+, \d+ bytes$/)
  assert.notEqual(difference?.a, difference?.b)
  // Of the variables a TD measures where they lie; SNP and SEV measure the whole file.
  const inVariables = changedAt(variables.dataOffset + 64)
  assert.deepEqual(await firmwareDifferences('tdx', a, inVariables), [])
  for (const tee of ['snp', 'sev', 'sev-es'] as const)
    assert.equal((await firmwareDifferences(tee, a, inVariables)).length, 1, tee)
})

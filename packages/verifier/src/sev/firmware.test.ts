import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isAtLeastFirmware, parseSevFirmware, SEV_MINIMUM_FIRMWARE } from './firmware.ts'

test('isAtLeastFirmware() compares API version first, then the build within it', () => {
  const cases = [
    ['0.17.22', true],
    ['0.17.21', false],
    ['0.17.11', false],
    ['0.16.255', false],
    ['0.24.0', true],
    ['1.0.0', true],
    ['1.51.3', true],
  ] as const
  for (const [text, isEnough] of cases) {
    const firmware = parseSevFirmware(text)
    assert.ok(firmware)
    assert.equal(isAtLeastFirmware(firmware, SEV_MINIMUM_FIRMWARE), isEnough, text)
  }
  assert.equal(
    isAtLeastFirmware({ major: 1, minor: 2, build: 3 }, { major: 1, minor: 2, build: 4 }),
    false,
  )
})

test('parseSevFirmware() takes three bytes in decimal and nothing else', () => {
  assert.deepEqual(parseSevFirmware('1.55.22'), { major: 1, minor: 55, build: 22 })
  for (const text of [
    '',
    '1.55',
    '1.55.256',
    '1.55.22.0',
    '-1.2.3',
    '1.0x1.2',
    ' 1.2.3',
    '1.2.3\n',
  ])
    assert.equal(parseSevFirmware(text), undefined, text)
})

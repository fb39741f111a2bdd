import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import { FormatError } from '../bytes/format-error.ts'
import { fromHex, toHex } from '../bytes/hex.ts'
import { peImage } from '../testing/pe-image.ts'
import { authenticodeDigest } from '../formats/authenticode.ts'
import { TDVF_SECTION, parseTdvf } from '../formats/tdvf.ts'
import { WITH_OVMF, debianOvmf } from '../testing/debian-ovmf.ts'
import { predictMrTd } from './mr-td.ts'
import {
  BOOT_ACTION,
  EFI_GLOBAL_VARIABLE,
  EFI_IMAGE_SECURITY_DATABASE,
  actionDigest,
  predictRtmr1,
  predictRtmr2,
  replayRtmr,
  separatorDigest,
  variableDigest,
} from './rtmr.ts'

const sha384 = (data: Uint8Array) => createHash('sha384').update(data).digest('hex')

test("predictMrTd(): Debian's OVMF.fd in both orders", WITH_OVMF, async () => {
  const firmware = debianOvmf() as Uint8Array
  assert.equal(
    toHex(await predictMrTd(firmware)),
    '4c7206f0f483c524f12c366c711e9049030a8d47c471ee5aa9c4999a08de4057fb887fed0744d5631a212967fb231c47',
  )
  assert.equal(
    toHex(await predictMrTd(firmware, { order: 'two-pass' })),
    'acccbcc870a381adab0d3919d90a7f268ac3b0364771f202ed4bb4e892d045b33db3b32e6924cba830a724eed443f7e1',
  )
  const configuration = parseTdvf(firmware).find(({ type }) => type === TDVF_SECTION.configuration)
  assert.ok(configuration !== undefined)
  const { dataOffset, dataSize } = configuration
  assert.equal(
    sha384(firmware.subarray(dataOffset, dataOffset + dataSize)),
    'f87302177b059d54a2cf0c5f13340dbabf5c9dd60dc3f996c68b776fbe4de959769443a3d8ef6538b97d7e151c8298e8',
  )
})

test('predictMrTd() refuses firmware without TDX metadata', async () => {
  await assert.rejects(predictMrTd(new Uint8Array(4096)), FormatError)
})

test('event digests of OVMF', async () => {
  for (const [digest, expected] of [
    [
      separatorDigest(),
      '394341b7182cd227c5c6b07ef8000cdfd86136c4292b8e576573ad7ed9ae41019f5818b4b971c9effc60e1ad9f1289f0',
    ],
    [
      actionDigest(BOOT_ACTION.callingApplication),
      '77a0dab2312b4e1e57a84d865a21e5b2ee8d677a21012ada819d0a98988078d3d740f6346bfe0abaa938ca20439a8d71',
    ],
    [
      actionDigest(BOOT_ACTION.exitBootServices),
      '214b0bef1379756011344877743fdc2a5382bac6e70362d624ccf3f654407c1b4badf7d8f9295dd3dabdef65b27677e0',
    ],
    [
      actionDigest(BOOT_ACTION.exitBootServicesReturned),
      '0a2e01c85deae718a530ad8c6d20a84009babe6c8989269e950d8cf440c6e997695e64d455c4174a652cd080f6230b74',
    ],
    [
      variableDigest(EFI_GLOBAL_VARIABLE, 'SecureBoot'),
      '9dc3a1f80bcec915391dcda5ffbb15e7419f77eab462bbf72b42166fb70d50325e37b36f93537a863769bcf9bedae6fb',
    ],
    [
      variableDigest(EFI_IMAGE_SECURITY_DATABASE, 'db'),
      '08a74f8963b337acb6c93682f934496373679dd26af1089cb4eaf0c30cf260a12e814856385ab8843e56a9acea19e127',
    ],
  ] as const)
    assert.equal(toHex(await digest), expected)
  const one = await replayRtmr([await actionDigest(BOOT_ACTION.callingApplication)])
  assert.equal(
    toHex(one),
    '8032dedfdb8373b9bf18849c61543d2ed4fd555ffb0028634689a13fc4de798ff904ccded77c2d72259ab9777a17d7bd',
  )
  await assert.rejects(replayRtmr([new Uint8Array(32)]), RangeError)
})

test('predictRtmr1() and predictRtmr2() replay their events', async () => {
  const image = new Uint8Array(48).fill(1)
  const rtmr1 = await replayRtmr([
    image,
    await actionDigest(BOOT_ACTION.callingApplication),
    await separatorDigest(),
    await actionDigest(BOOT_ACTION.exitBootServices),
    await actionDigest(BOOT_ACTION.exitBootServicesReturned),
  ])
  assert.equal(toHex(await predictRtmr1(image)), toHex(rtmr1))
  const line = fromHex(sha384(Buffer.from('quiet\0', 'utf16le')))
  assert.equal(toHex(await predictRtmr2('quiet', image)), toHex(await replayRtmr([line, image])))
  assert.equal(toHex(await predictRtmr2('quiet')), toHex(await replayRtmr([line])))
})

test('authenticodeDigest() leaves out checksum and certificates only', async () => {
  const image = peImage(new Uint8Array(8).fill(9))
  const hex = async (bytes: Uint8Array) => toHex(await authenticodeDigest(bytes, 'SHA-384'))
  const digest = await hex(image)
  const signed = peImage(new Uint8Array(8).fill(1))
  assert.equal(await hex(signed), digest)
  const checksum = Uint8Array.from(image)
  checksum[0x58 + 64] = 1
  assert.equal(await hex(checksum), digest)
  for (const offset of [2, 0x58 + 70, 0x1ff, 0x200, 0x3ff]) {
    const changed = Uint8Array.from(image)
    changed[offset] = (changed[offset] as number) ^ 1
    assert.notEqual(await hex(changed), digest, `${offset}`)
  }
  for (let length = 0; length < 0x400; length += 7)
    await assert.rejects(authenticodeDigest(image.subarray(0, length), 'SHA-384'), FormatError)
})

import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import { FormatError } from '../bytes/format-error.ts'
import { unpackedVolumes } from './firmware-volumes.ts'

/** A volume with one file, whose GUIDed section holds two volumes with a raw section before each, packed with liblzma. */
const PACKED = Buffer.from(
  'AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAIAQAAAAAAAF9GVkgAAAAASAAAAAAAAAIBAAAACAEAAAAA' +
    'AAAAAAAAAAECAwQFBgcICQoLDA0ODwAACwB+AAD4ZgAAAphYTu4UOVlCnW7ce9eUA88YAAEAXQAAAQBgAQAAAAAA' +
    'AAAEADDNzToJf91tPRn5sTD4daLkkTVqYVpClW81vJfE0Oe9hnXTR/R4UZp5D3z2xiWX5tFndYfIq+1DA//8MEng' +
    '////////////////////////////////////////////////////////////////////////////////////////' +
    '//////////////////////////////////////////8=',
  'base64',
)
const HEADER_BYTES = 72
const OVMF = '/usr/share/OVMF/OVMF_CODE_4M.secboot.fd'
/** Of ovmf 2022.11-6+deb12u2; the volume's digest is the one in its boot logs (test/boots). */
const OVMF_SHA256 = 'd50189a486d22af418198226a3a5bcb6ddac775590f6a808bd629474ee034d62'
const DXE_SHA256 = 'a644ed209b188dd428ea3e15c0b1dbbc1ad05d406bb2857cac4a73b98d0b6b4f'

test('unpackedVolumes() finds both volumes in their order', () => {
  const found = unpackedVolumes(PACKED).map((volume) =>
    Buffer.from(volume.subarray(HEADER_BYTES, HEADER_BYTES + 6)).toString(),
  )
  assert.deepEqual(found, ['PEIPEI', 'DXEDXE'])
})

test('unpackedVolumes() throws nothing but FormatError, whatever the bytes', () => {
  assert.throws(() => unpackedVolumes(Buffer.alloc(4096)), FormatError)
  for (let at = 0; at < PACKED.length; at++) {
    const bytes = Buffer.from(PACKED)
    bytes[at] = (bytes[at] ?? 0) ^ 0xff
    for (const input of [bytes, PACKED.subarray(0, at)])
      try {
        unpackedVolumes(input)
      } catch (error) {
        assert.ok(error instanceof FormatError, String(error))
      }
  }
})

test("unpackedVolumes() of Debian's OVMF gives what a TPM was told", (t) => {
  const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')
  if (!existsSync(OVMF)) return t.skip(`needs ${OVMF}`)
  const code = readFileSync(OVMF)
  if (sha256(code) !== OVMF_SHA256) return t.skip(`${OVMF} is of another version`)
  assert.equal(sha256(unpackedVolumes(code)[1] ?? Buffer.alloc(0)), DXE_SHA256)
})

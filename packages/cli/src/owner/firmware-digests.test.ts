import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { test } from 'node:test'
import { firmwareDigests } from './firmware-digests.ts'

const OVMF = '/usr/share/ovmf/OVMF.fd'
const DIGESTS = 12

test('firmwareDigests() are those of each processor and count, once for each firmware', async (t) => {
  if (!existsSync(OVMF)) return t.skip(`needs ${OVMF}`)
  const image = { paths: { snpFirmware: OVMF } } as never
  const digests = await firmwareDigests([image, image], [OVMF, '/none', import.meta.filename])
  assert.equal(digests.length, DIGESTS)
  assert.equal(new Set(digests).size, DIGESTS)
  for (const digest of digests) assert.match(digest, /^[0-9a-f]{96}$/)
})

import assert from 'node:assert/strict'
import { test } from 'node:test'

import { predictions } from './predictions.ts'
import { temporaryDirectory } from './testing/temporary-directory.ts'

const FILE = { file: 'x', sha256: '0'.repeat(64), size: 1 }
const IMAGE = {
  kernel: { ...FILE, release: '6.12.0' },
  initrd: FILE,
  firmware: {},
  commandLines: { hardware: 'h', simulated: 's', probe: 'p', debug: 'd' },
}

test('predictions() of an image without firmware knows nothing, so nothing will match', async () => {
  assert.deepEqual(await predictions('/absent', IMAGE), { hardware: {}, simulated: {}, debug: {} })
})

test('predictions() refuses firmware without tables', async (context) => {
  const directory = await temporaryDirectory(context, { 'fw.fd': new Uint8Array(8192) })
  const snp = { ...FILE, file: 'fw.fd', package: 'p', packageVersion: '1' }
  await assert.rejects(predictions(directory, { ...IMAGE, firmware: { snp } }), {
    code: 'guest-image.firmware-unfit',
  })
})

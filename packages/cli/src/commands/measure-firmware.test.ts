import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { WITH_OVMF, debianOvmf } from '@cloister/verifier/testing/debian-ovmf'
import { runCloister } from '../testing/run-cloister.ts'

const home = mkdtempSync(join(tmpdir(), 'cloister-firmware-'))
after(() => {
  rmSync(home, { recursive: true, force: true })
})
const measure = async (...words: string[]) => {
  const { code, out, talk } = await runCloister(['measure', ...words, '-o', 'json'], { home })
  return { code, json: JSON.parse(out) as Record<string, string>[], talk }
}

test(
  'the contributions of a firmware end in its registers, and two files part by name',
  WITH_OVMF,
  async () => {
    const file = join(home, 'firmware.fd')
    const changed = join(home, 'changed.fd')
    const bytes = debianOvmf() as Uint8Array
    writeFileSync(file, bytes)
    writeFileSync(changed, bytes.with(bytes.length - 0x1000, 0x5a))
    for (const tee of ['snp', 'sev', 'sev-es', 'tdx']) {
      const [registers, explained, difference, same] = await Promise.all([
        measure('--firmware', file, '--tee', tee),
        measure('--firmware', file, '--tee', tee, '--explain'),
        measure('--diff', file, changed, '--tee', tee),
        measure('--diff', file, file, '--tee', tee),
      ])
      assert.equal(explained.json.at(-1)?.['digest'], registers.json[0]?.['value'], tee)
      assert.deepEqual([difference.code, difference.json.length], [0, 1], tee)
      assert.match(difference.json[0]?.['what'] ?? '', /, firmware/)
      assert.deepEqual([same.code, same.json], [0, []], tee)
    }
  },
)

test('what is no firmware, or cannot hold kernel hashes, is told', WITH_OVMF, async () => {
  const file = join(home, 'plain.fd')
  writeFileSync(file, debianOvmf() as Uint8Array)
  const refused = async (...words: string[]) =>
    (await runCloister(['measure', ...words], { home })).talk
  assert.match(
    await refused('--firmware', file, '--kernel', file, '--explain'),
    /guest-image\.firmware-unfit/,
  )
  assert.match(await refused('--diff', file, join(home, 'absent'), '--tee', 'tdx'), /cli\.usage/)
})

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { linkSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { trimControlLog } from './control-log.ts'
import { openForeign } from './open-foreign.ts'
import { CONTROL_LOG } from './vm-files.ts'

const folder = mkdtempSync(join(tmpdir(), 'cloister-foreign-'))
after(() => {
  rmSync(folder, { recursive: true })
})
const at = (name: string) => join(folder, name)
writeFileSync(at('ours'), 'x'.repeat(1 << 20))

test('openForeign() opens a file', async () => {
  await using file = await openForeign(at('ours'), 'read')
  assert.equal((await file.stat()).size, 1 << 20)
})

test('openForeign() refuses links, pipes and folders, and does not wait', async () => {
  symlinkSync(at('ours'), at('link'))
  execFileSync('mkfifo', [at('pipe')])
  await assert.rejects(openForeign(at('link'), 'write'), { code: 'ELOOP' })
  await assert.rejects(openForeign(at('pipe'), 'read'), RangeError)
  await assert.rejects(openForeign(at('pipe'), 'write'), { code: 'ENXIO' })
  await assert.rejects(openForeign(folder, 'read'), RangeError)
})

test('a link in the place of a log empties no file of ours', async () => {
  symlinkSync(at('ours'), at(CONTROL_LOG))
  await trimControlLog(folder)
  rmSync(at(CONTROL_LOG))
  linkSync(at('ours'), at(CONTROL_LOG))
  await trimControlLog(folder)
  assert.equal(readFileSync(at('ours')).length, 1 << 20)
})

import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { chooseAccelerator, judge, recallAccelerator } from './accelerator.ts'
import { hostBootId } from './process-identity.ts'
import type { VmExit } from './vm-spec.ts'

const AT = new Date(0)

test('judge() trusts KVM only after a guest came up and powered off by itself', () => {
  assert.deepEqual(judge({ reason: 'guest-shutdown', lastStage: 'initrd', at: AT }), {
    accelerator: 'kvm',
  })
  const others: readonly VmExit[] = [
    { reason: 'guest-shutdown', at: AT },
    { reason: 'stop-killed', lastStage: 'initrd', at: AT },
    { reason: 'guest-panic', at: AT },
    { reason: 'qemu-failed', qemuSaid: 'status internal-error', at: AT },
  ]
  for (const exit of others) {
    const { accelerator, reason } = judge(exit)
    assert.equal(accelerator, 'tcg')
    assert.ok(reason)
  }
})

const QEMU = { program: '/q', version: { major: 7, minor: 2 }, objects: new Set<string>() }

test('what was found is remembered for this boot, this QEMU and this user only', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'accelerator-'))
  const cacheFile = join(folder, 'a.json')
  assert.equal(await recallAccelerator(QEMU, cacheFile), undefined)
  const key = `${await hostBootId()} /q 7.2 ${process.getuid?.() ?? 0}`
  await writeFile(cacheFile, JSON.stringify({ key, accelerator: 'tcg', reason: 'hung' }))
  assert.deepEqual(await recallAccelerator(QEMU, cacheFile), { accelerator: 'tcg', reason: 'hung' })
  const newer = { ...QEMU, version: { major: 10, minor: 0 } }
  assert.equal(await recallAccelerator(newer, cacheFile), undefined)
  await writeFile(cacheFile, JSON.stringify({ key: `other${key}`, accelerator: 'kvm' }))
  assert.equal(await recallAccelerator(QEMU, cacheFile), undefined)
  await writeFile(cacheFile, '{"accelerator":"kvm"}')
  assert.equal(await recallAccelerator(QEMU, cacheFile), undefined)
  await rm(folder, { recursive: true })
})

test('chooseAccelerator() does not use KVM that it could not try', async () => {
  const request = { qemu: QEMU, cacheFile: '/nonexistent/a', workDirectory: '/nonexistent' }
  const { accelerator, reason } = await chooseAccelerator(request)
  assert.equal(accelerator, 'tcg')
  assert.ok(reason)
})

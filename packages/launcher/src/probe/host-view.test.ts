import assert from 'node:assert/strict'
import { chmod, mkdtemp, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { localHostView } from './host-view.ts'

test('localHostView() reads files within bounds and takes what it cannot read for absent', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'view-'))
  const path = join(folder, 'file')
  const view = localHostView()
  await writeFile(path, ' Y\n')
  assert.equal(await view.readFile(path), 'Y')
  assert.equal(await view.readFile(join(folder, 'none')), undefined)
  assert.match((await view.readFile('/proc/cpuinfo')) ?? '', /processor/)
  await truncate(path, 80 << 20)
  assert.ok(((await view.readFile(path))?.length ?? 0) <= (1 << 20) + (64 << 10))
  assert.equal(await view.readBytes(path), undefined)
  await rm(folder, { recursive: true })
})

test('localHostView() tells usable devices from closed ones', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'view-'))
  const path = join(folder, 'device')
  const view = localHostView()
  assert.equal(await view.deviceAccess(path), 'absent')
  await writeFile(path, '')
  await chmod(path, 0o666)
  assert.equal(await view.deviceAccess(path), 'usable')
  await chmod(path, process.getuid?.() === 0 ? 0o600 : 0)
  assert.equal(await view.deviceAccess(path), 'denied')
  await rm(folder, { recursive: true })
})

test('localHostView() measures the nearest folder that exists, and finds programs', async () => {
  const view = localHostView()
  assert.ok((await view.freeDiskBytes('/nonexistent/a/b')) > 0)
  assert.ok((await view.availableMemoryBytes()) > 0)
  assert.equal(await view.hasProgram('sh'), true)
  assert.equal(await view.hasProgram('no-such-program'), false)
})

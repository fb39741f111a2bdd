import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { readUserFiles } from './image-files.ts'

async function rootfs(t: TestContext): Promise<string> {
  const root = await mkdtemp(join(tmpdir(), 'cloister-rootfs-'))
  t.after(() => rm(root, { recursive: true }))
  await mkdir(join(root, 'etc'))
  return root
}

test('readUserFiles() follows links as the container would', async (t) => {
  const root = await rootfs(t)
  await mkdir(join(root, 'usr/etc'), { recursive: true })
  await writeFile(join(root, 'usr/etc/passwd'), 'inside')
  await symlink('/usr/etc/passwd', join(root, 'etc/passwd'))
  assert.deepEqual(await readUserFiles(root), { passwd: 'inside', group: '' })
})

test('readUserFiles() never leaves the image, loops, or waits at a pipe', async (t) => {
  const root = await rootfs(t)
  await symlink('../../../../../../etc/passwd', join(root, 'etc/passwd'))
  await symlink('group', join(root, 'etc/group'))
  assert.deepEqual(await readUserFiles(root), { passwd: '', group: '' })
  const other = await rootfs(t)
  execFileSync('mkfifo', [join(other, 'etc/passwd')])
  await symlink('/etc', join(other, 'outside'))
  await symlink('/outside/hostname', join(other, 'etc/group'))
  assert.deepEqual(await readUserFiles(other), { passwd: '', group: '' })
})

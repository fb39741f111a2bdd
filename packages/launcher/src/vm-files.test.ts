import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readdir, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { makeDirectories, readError, removeDirectories, writeError } from './vm-files.ts'

test('makeDirectories() makes both closed, and neither when one is taken', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'files-'))
  const directories = {
    runtimeDirectory: join(folder, 'run', 'a'),
    stateDirectory: join(folder, 'state', 'a'),
  }
  await mkdir(directories.stateDirectory, { recursive: true })
  await assert.rejects(makeDirectories(directories), { code: 'vm.id-taken' })
  assert.deepEqual(await readdir(join(folder, 'run')), [])
  await rm(directories.stateDirectory, { recursive: true })
  await makeDirectories(directories)
  for (const path of Object.values(directories))
    assert.equal((await stat(path)).mode & 0o777, 0o700)
  await assert.rejects(makeDirectories(directories), { code: 'vm.id-taken' })
  await removeDirectories(directories)
  await removeDirectories(directories)
  assert.deepEqual(await readdir(join(folder, 'state')), [])
  await rm(folder, { recursive: true })
})

test('makeDirectories() refuses a path that no socket address holds', async () => {
  const stateDirectory = join(tmpdir(), 'never-made')
  const runtimeDirectory = `/tmp/${'é'.repeat(48)}`
  await assert.rejects(makeDirectories({ runtimeDirectory, stateDirectory }), {
    code: 'vm.socket-path-too-long',
  })
})

test('failures of a file system get codes, and others are left alone', () => {
  const failure = (code: string) => Object.assign(new Error(code), { code })
  const reading = { ENOENT: 'vm.file-missing', EACCES: 'vm.file-unreadable' }
  const writing = {
    EEXIST: 'vm.id-taken',
    ENOSPC: 'host.disk-full',
    EDQUOT: 'host.disk-full',
    EACCES: 'vm.folder-denied',
    EPERM: 'vm.folder-denied',
    EROFS: 'vm.folder-denied',
  }
  for (const [code, ours] of Object.entries(reading))
    assert.equal((readError(failure(code), '/x') as { code: string }).code, ours)
  for (const [code, ours] of Object.entries(writing))
    assert.equal((writeError(failure(code), '/x') as { code: string }).code, ours)
  const other = failure('EIO')
  assert.equal(readError(other, '/x'), other)
  assert.equal(writeError(other, '/x'), other)
})

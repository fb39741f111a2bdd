import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { promisify } from 'node:util'
import { arArchive } from './ar.ts'
import { buildAgentPackage } from './build-package.ts'

const run = promisify(execFile)

/** A package around a program that stands for Node. */
async function packaged(t: TestContext, configuration?: string) {
  const folder = await mkdtemp(join(tmpdir(), 'cloister-deb-'))
  t.after(() => rm(folder, { recursive: true }))
  const node = join(folder, 'bin-node')
  await writeFile(node, '#!/bin/sh\nexit 0\n')
  const options = {
    node,
    architecture: 'x64' as const,
    ...(configuration !== undefined && { configuration }),
  }
  const built = await buildAgentPackage(options)
  const file = join(folder, built.fileName)
  await writeFile(file, built.bytes)
  const dpkg = async (...args: readonly string[]) =>
    (await run('dpkg-deb', [...args, file], { maxBuffer: 1 << 24 })).stdout
  return { built, dpkg, folder, again: () => buildAgentPackage(options) }
}

test('dpkg-deb reads the package, and what it unpacks is what was put in', async (t) => {
  const { built, dpkg, folder } = await packaged(t)
  assert.equal(built.fileName, `cloister-agent_${built.version}_amd64.deb`)
  assert.match(await dpkg('--field'), /^Package: cloister-agent\n[^]*^Architecture: amd64$/m)
  const paths = (await dpkg('--contents')).matchAll(/\.(\/\S*[^/\s])$/gm)
  assert.deepEqual(
    [...paths].map(([, path]) => path),
    [
      '/usr/lib/cloister-agent/agent.mjs',
      '/usr/lib/cloister-agent/tee-report.pl',
      '/usr/lib/cloister-agent/node',
      '/usr/lib/systemd/system/cloister-agent.service',
      '/usr/share/doc/cloister-agent/copyright',
    ],
  )
  await run('dpkg-deb', ['--raw-extract', join(folder, built.fileName), join(folder, 'tree')])
  // As dpkg does it, on what was unpacked.
  await run('md5sum', ['--check', '--strict', 'DEBIAN/md5sums'], { cwd: join(folder, 'tree') })
  for (const script of ['postinst', 'prerm'])
    await run('sh', ['-n', join(folder, 'tree/DEBIAN', script)])
})

test('a configuration comes as a file that dpkg leaves to its owner, for root alone', async (t) => {
  const { dpkg, folder, built } = await packaged(t, '{"version":1}\n')
  assert.match(await dpkg('--contents'), /^-rw------- .*\.\/etc\/cloister\/agent\.json$/m)
  await run('dpkg-deb', ['--control', join(folder, built.fileName), join(folder, 'control')])
  const { stdout } = await run('cat', [join(folder, 'control/conffiles')])
  assert.equal(stdout, '/etc/cloister/agent.json\n')
})

test('the same sources give the same bytes', async (t) => {
  const { built, again } = await packaged(t)
  assert.equal((await again()).sha256, built.sha256)
})

test('arArchive() pads odd members and refuses names that do not fit', () => {
  const archive = arArchive([{ name: 'a', content: Buffer.from('x') }], 0)
  assert.equal(archive.length % 2, 0)
  assert.throws(() => arArchive([{ name: 'x'.repeat(16), content: Buffer.alloc(0) }], 0))
})

import assert from 'node:assert/strict'
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { test } from 'node:test'
import { askQemu, isAtLeast, parseObjects, parseVersion } from './qemu-capabilities.ts'

test('parseVersion() reads a packaged QEMU and refuses what is none', () => {
  assert.deepEqual(parseVersion('QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7)'), {
    major: 7,
    minor: 2,
  })
  assert.throws(() => parseVersion('hello'), { code: 'qemu.missing' })
})

test('parseObjects() takes the indented names', () => {
  const text = 'List of user creatable objects:\n  sev-guest\n  sev-snp-guest\n'
  assert.deepEqual([...parseObjects(text)], ['sev-guest', 'sev-snp-guest'])
})

test('isAtLeast() compares by major, then minor', () => {
  assert.equal(isAtLeast({ major: 10, minor: 0 }, 9, 1), true)
  assert.equal(isAtLeast({ major: 9, minor: 0 }, 9, 1), false)
  assert.equal(isAtLeast({ major: 9, minor: 1 }, 9, 1), true)
})

test('askQemu() remembers the answer until the program changes', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'qemu-'))
  const path = process.env['PATH'] ?? ''
  t.after(async () => {
    process.env['PATH'] = path
    await rm(folder, { recursive: true })
  })
  const program = join(
    folder,
    process.arch === 's390x' ? 'qemu-system-s390x' : 'qemu-system-x86_64',
  )
  const counter = join(folder, 'asked')
  const install = async (version: string) => {
    await rm(program, { force: true })
    await writeFile(
      program,
      `#!/bin/sh\necho x >>${counter}\n[ "$1" = --version ] && echo "QEMU emulator version ${version}" || printf 'List:\\n  sev-guest\\n'\n`,
    )
    await chmod(program, 0o755)
  }
  process.env['PATH'] = [folder, path].join(delimiter)
  await install('8.1.0')
  const cache = join(folder, 'cache', 'qemu.json')
  const first = await askQemu(cache)
  assert.deepEqual(first, {
    program,
    version: { major: 8, minor: 1 },
    objects: new Set(['sev-guest']),
  })
  const asked = await readFile(counter, 'utf8')
  assert.deepEqual(await askQemu(cache), first)
  assert.equal(await readFile(counter, 'utf8'), asked)
  await install('9.2.50')
  assert.deepEqual((await askQemu(cache)).version, { major: 9, minor: 2 })
  await writeFile(cache, 'nonsense')
  assert.deepEqual((await askQemu(cache)).version, { major: 9, minor: 2 })
  process.env['PATH'] = '/nonexistent'
  await assert.rejects(askQemu(cache), { code: 'qemu.missing' })
})

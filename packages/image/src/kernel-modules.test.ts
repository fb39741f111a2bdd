import assert from 'node:assert/strict'
import { test } from 'node:test'
import { gzipSync, zstdCompressSync } from 'node:zlib'

import { dependencies, loadOrder } from './kernel-modules.ts'
import { temporaryDirectory } from './testing/temporary-directory.ts'

const NONE = { port: [], root: [], 'root-optional': [], required: [], optional: [] }
const module = (depends: string) => `\x7fELF…\0license=GPL\0depends=${depends}\0name=x\0`

test('dependencies() reads the modinfo entry', () => {
  assert.deepEqual(dependencies(Buffer.from(module('a,b'))), ['a', 'b'])
  assert.deepEqual(dependencies(Buffer.from(module(''))), [])
  assert.deepEqual(dependencies(Buffer.from('no modinfo')), [])
})

test('loadOrder() puts dependencies first, each once, and leaves out what is built in', async (context) => {
  const folder = 'usr/lib/modules/6.12.0/kernel'
  const tree = await temporaryDirectory(context, {
    'usr/lib/modules/6.12.0/modules.builtin': 'kernel/lib/built-in.ko\n',
    [`${folder}/dm-mod.ko`]: module('built_in'),
    [`${folder}/dm-verity.ko`]: module('dm-mod,shared'),
    [`${folder}/shared.ko`]: module(''),
    [`${folder}/late.ko`]: module('shared,other'),
    [`${folder}/other.ko`]: module(''),
  })
  const selection = { ...NONE, root: ['dm-verity'], optional: ['late'] }
  const order = await loadOrder(tree, selection, {})
  assert.deepEqual(
    order.map(({ name, need }) => `${need} ${name}`),
    ['root dm_mod', 'root shared', 'root dm_verity', 'optional other', 'optional late'],
  )
})

test('loadOrder() fails for a module that the kernel does not have', async (context) => {
  const tree = await temporaryDirectory(context, { 'usr/lib/modules/6.12.0/modules.builtin': '' })
  const selection = { ...NONE, root: ['absent'] }
  await assert.rejects(loadOrder(tree, selection, {}), { code: 'guest-image.content-missing' })
})

test('loadOrder() leaves out optional modules only where it is told so, and unpacks each kind', async (context) => {
  const folder = 'usr/lib/modules/6.1.0/kernel'
  const content = module('')
  const tree = await temporaryDirectory(context, {
    'usr/lib/modules/6.1.0/modules.builtin': '',
    [`${folder}/a.ko.gz`]: gzipSync(content),
    [`${folder}/b.ko.zst`]: zstdCompressSync(content),
  })
  const selection = { ...NONE, required: ['a', 'b'], optional: ['absent'] }
  await assert.rejects(loadOrder(tree, selection, {}), { code: 'guest-image.content-missing' })
  const order = await loadOrder(tree, selection, { mayLackOptional: true })
  assert.deepEqual(
    order.map((one) => one.content.toString()),
    [content, content],
  )
})

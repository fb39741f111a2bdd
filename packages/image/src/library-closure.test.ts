import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'

import { libraryClosure } from './library-closure.ts'
import { elfFile } from './testing/elf-file.ts'
import { temporaryDirectory } from './testing/temporary-directory.ts'

test('libraryClosure() follows what libraries need, each once, sorted', async (context) => {
  const tree = await temporaryDirectory(context, {
    'usr/bin/program': elfFile(['libb.so']),
    'usr/lib/x86_64-linux-gnu/libb.so': elfFile(['liba.so', 'libb.so']),
    'usr/lib64/liba.so': elfFile([]),
    'usr/lib/libopened.so': elfFile(['liba.so']),
  })
  const found = await libraryClosure(tree, [join(tree, 'usr/bin/program')], ['libopened.so'])
  assert.deepEqual(
    [...found],
    [
      ['liba.so', 'usr/lib64/liba.so'],
      ['libb.so', 'usr/lib/x86_64-linux-gnu/libb.so'],
      ['libopened.so', 'usr/lib/libopened.so'],
    ],
  )
})

test('libraryClosure() fails when no package holds a library', async (context) => {
  const tree = await temporaryDirectory(context, { program: elfFile(['libabsent.so']) })
  await assert.rejects(libraryClosure(tree, [join(tree, 'program')]), {
    code: 'guest-image.content-missing',
  })
})

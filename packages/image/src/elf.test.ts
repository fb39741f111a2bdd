import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'

import { neededLibraries } from './elf.ts'
import { elfFile } from './testing/elf-file.ts'

const CODE = { code: 'guest-image.content-missing' }

test('neededLibraries() lists the names in order', () => {
  assert.deepEqual(neededLibraries(elfFile(['libb.so.1', 'liba.so.2']), 'x'), [
    'libb.so.1',
    'liba.so.2',
  ])
})

test('neededLibraries() of a program without libraries is empty', () => {
  assert.deepEqual(neededLibraries(elfFile([]), 'x'), [])
})

test('neededLibraries() reads a real program', async () => {
  assert.ok(neededLibraries(await readFile(process.execPath), 'node').includes('libc.so.6'))
})

test('neededLibraries() refuses what is no ELF file, another class, and a file cut short', () => {
  const file = elfFile(['libc.so.6'])
  assert.throws(() => neededLibraries(Buffer.from('#!/bin/sh\n'), 'x'), CODE)
  const narrow = Buffer.from(file)
  narrow[4] = 1
  assert.throws(() => neededLibraries(narrow, 'x'), CODE)
  for (const length of [0x40, 0x80, file.length - 20])
    assert.throws(() => neededLibraries(file.subarray(0, length), 'x'), CODE)
})

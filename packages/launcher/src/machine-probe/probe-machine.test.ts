import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { FormatError } from '@cloister/verifier/bytes/format-error'
import { variableKey } from '@cloister/verifier/tdx/machine-events'
import { PROGRAM_CODE, probeProgram } from './program.ts'
import { readAnswer } from './read-answer.ts'

function hasAssembler(): boolean {
  try {
    for (const program of ['as', 'objcopy'])
      execFileSync(program, ['--version'], { stdio: 'ignore' })
    return process.arch === 'x64'
  } catch {
    return false
  }
}

test(
  'the program is what its source says',
  { skip: hasAssembler() ? false : 'no assembler for x86-64 (binutils)' },
  () => {
    const folder = mkdtempSync(join(tmpdir(), 'cloister-test-'))
    try {
      const [object, code] = [join(folder, 'program.o'), join(folder, 'program.bin')]
      const source = fileURLToPath(new URL('program.S', import.meta.url))
      execFileSync('as', ['-o', object, source])
      execFileSync('objcopy', ['-O', 'binary', '-j', '.text', object, code])
      assert.deepEqual(Buffer.from(PROGRAM_CODE), readFileSync(code))
    } finally {
      rmSync(folder, { recursive: true })
    }
  },
)

test('probeProgram() is an image whose code lies inside of its one section', () => {
  const image = Buffer.from(probeProgram())
  assert.ok(image.includes(Buffer.from(PROGRAM_CODE)))
  assert.ok(PROGRAM_CODE.length <= image.readUInt32LE(0x148 + 16))
})

function block(bytes: Uint8Array): Buffer {
  const length = Buffer.alloc(4)
  length.writeUInt32LE(bytes.length)
  return Buffer.concat([length, bytes])
}

function answer(): Buffer {
  const entry = (name: string, size: number) => {
    const bytes = Buffer.alloc(64)
    bytes.writeUInt32BE(size)
    bytes.write(name, 8, 'latin1')
    return bytes
  }
  return Buffer.concat([
    Buffer.from([0, 0, 0, 2]),
    entry('bootorder', 3),
    entry('etc/acpi/rsdp', 2),
    Buffer.from('abcde'),
    Buffer.from([0, 0]),
    block(Buffer.from('tables')),
    block(Buffer.from('PK\0', 'utf16le')),
    block(Buffer.alloc(20)),
    block(Buffer.from([9])),
    block(Buffer.alloc(0)),
  ])
}

test('readAnswer() reads files, tables and variables, and nothing that is cut short', () => {
  const { fwCfg, bootMenu, smbios, variables } = readAnswer(answer())
  assert.deepEqual(
    [...fwCfg].map(([name, bytes]) => [name, Buffer.from(bytes).toString()]),
    [
      ['bootorder', 'abc'],
      ['etc/acpi/rsdp', 'de'],
    ],
  )
  assert.deepEqual([...bootMenu], [0, 0])
  assert.equal(Buffer.from(smbios ?? []).toString(), 'tables')
  const key = variableKey('PK', '00000000-0000-0000-0000-000000000000')
  assert.deepEqual([...variables], [[key, Buffer.from([9])]])
  const whole = answer()
  for (let length = 0; length < whole.length; length += 5)
    assert.throws(() => readAnswer(whole.subarray(0, length)), FormatError)
  assert.throws(() => readAnswer(Buffer.concat([whole, Buffer.from([0])])), FormatError)
})

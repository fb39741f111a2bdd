import assert from 'node:assert/strict'
import { access, mkdtemp, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { FormatError } from '@cloister/verifier/bytes/format-error'
import { parseSignatureLists } from '@cloister/verifier/eventlog/uefi-variable'
import { selfSigned } from '../testing/certificates.ts'
import { findFirmware, type MachineFirmware } from './firmware.ts'
import { writeVariables, type SecureBootKeys } from './secure-boot.ts'
import { encodeVariableStore, parseVariableStore } from './variable-store.ts'

const firmware = await findFirmware({ secureBoot: true }).catch(() => undefined)
const skip = firmware === undefined && 'no OVMF with Secure Boot is installed'
const { emptyVariables, microsoftVariables = '' } = firmware as MachineFirmware

async function folder(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'variables-'))
  t.after(() => rm(path, { recursive: true }))
  return path
}

const KEYS: SecureBootKeys = {
  pk: selfSigned('PK').certificate,
  kek: [selfSigned('KEK').certificate],
  db: [selfSigned('db one').certificate, selfSigned('db two').certificate],
  dbx: [],
}

test(
  "parseVariableStore() reads Microsoft's keys out of the distribution's store",
  { skip },
  async () => {
    const variables = parseVariableStore(await readFile(microsoftVariables))
    const find = (name: string) => variables.filter((variable) => variable.name === name)
    for (const name of ['PK', 'KEK', 'db', 'dbx', 'SecureBootEnable'])
      assert.equal(find(name).length, 1, name)
    assert.deepEqual(find('SecureBootEnable')[0]?.data, Buffer.from([1]))
    assert.equal(find('PK')[0]?.attributes, 0x27)
    assert.ok(parseSignatureLists(find('db')[0]?.data ?? Buffer.alloc(0)).length >= 2)
    // What was overwritten is not shown.
    assert.equal(find('CustomMode').length, 1)
  },
)

test('encodeVariableStore() and parseVariableStore() are inverse', { skip }, async () => {
  const [empty, microsoft] = await Promise.all([
    readFile(emptyVariables),
    readFile(microsoftVariables),
  ])
  assert.deepEqual(parseVariableStore(empty), [])
  assert.deepEqual(Buffer.from(encodeVariableStore(empty, [])), empty)
  const variables = parseVariableStore(microsoft)
  const written = encodeVariableStore(empty, variables)
  assert.deepEqual(parseVariableStore(Buffer.from(written)), variables)
  assert.deepEqual(encodeVariableStore(written, variables), written)
  assert.equal(written.length, empty.length)
})

test('a store that is damaged is refused, whatever is damaged', { skip }, async () => {
  const microsoft = await readFile(microsoftVariables)
  for (const [offset, value] of [
    [0, 1],
    [16, 0],
    [32, 1],
    [40, 0],
    [48, 1],
    [50, 0],
    [72, 0],
    [91, 0xff],
    [92, 0],
  ] as const) {
    const damaged = Buffer.from(microsoft)
    damaged[offset] = value
    assert.throws(() => parseVariableStore(damaged), FormatError, `offset ${offset}`)
  }
  const long = Buffer.from(microsoft)
  // The size of the first variable's data.
  long.writeUInt32LE(0xffff_ffff, 0x64 + 40)
  assert.throws(() => parseVariableStore(long), FormatError)
  assert.throws(() => parseVariableStore(microsoft.subarray(0, 1000)), FormatError)
})

test("writeVariables() writes the owner's own keys, and nothing else", { skip }, async (t) => {
  const path = join(await folder(t), 'variables.fd')
  const digest = Buffer.alloc(32, 7)
  assert.ok(firmware)
  await writeVariables(firmware, { ...KEYS, dbxDigests: [digest] }, path)
  const variables = parseVariableStore(await readFile(path))
  assert.deepEqual(
    variables.map(({ name }) => name),
    ['db', 'dbx', 'KEK', 'PK', 'SecureBootEnable', 'CustomMode'],
  )
  const lists = variables.slice(0, 4).map(({ data }) => parseSignatureLists(data))
  const [db, dbx] = lists
  assert.equal(db?.length, 2)
  assert.equal(dbx?.length, 1)
  const { mode } = await stat(path)
  assert.equal(mode & 0o777, 0o600)
  await assert.rejects(writeVariables(firmware, 'none', path), { code: 'vm.id-taken' })
})

test("writeVariables() copies the distribution's stores", { skip }, async (t) => {
  const directory = await folder(t)
  assert.ok(firmware)
  await writeVariables(firmware, 'microsoft', join(directory, 'ms'))
  assert.deepEqual(await readFile(join(directory, 'ms')), await readFile(microsoftVariables))
  await writeVariables(firmware, 'none', join(directory, 'none'))
  assert.deepEqual(await readFile(join(directory, 'none')), await readFile(emptyVariables))
})

test('writeVariables() refuses keys that do not fit, and leaves nothing', { skip }, async (t) => {
  const path = join(await folder(t), 'variables.fd')
  assert.ok(firmware)
  const { pk } = KEYS
  const cases: Partial<SecureBootKeys>[] = [
    { pk: new Uint8Array(100) },
    { pk: Buffer.concat([pk, Buffer.alloc(1)]) },
    { kek: [] },
    { db: [] },
    { dbx: [Buffer.from('no certificate')] },
    { dbxDigests: [new Uint8Array(31)] },
    { db: Array.from({ length: 65 }, () => pk) },
  ]
  for (const change of cases)
    await assert.rejects(writeVariables(firmware, { ...KEYS, ...change }, path), {
      code: 'secure-boot.keys-invalid',
    })
  const unfit = { ...firmware, emptyVariables: '/proc/self/cmdline' }
  await assert.rejects(writeVariables(unfit, KEYS, path), { code: 'secure-boot.template-unfit' })
  await assert.rejects(writeVariables({ ...firmware, emptyVariables: '/none' }, KEYS, path), {
    code: 'vm.file-missing',
  })
  await assert.rejects(access(path))
})

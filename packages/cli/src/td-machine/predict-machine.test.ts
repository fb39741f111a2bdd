import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { keepPrediction, readPrediction } from './kept-prediction.ts'
import { ofQemu } from './predict-machine.ts'

const home = mkdtempSync(join(tmpdir(), 'cloister-machine-'))
after(() => {
  rmSync(home, { recursive: true, force: true })
})

test('ofQemu() takes no tables of a QEMU that runs no TD', () => {
  const bytes = new Uint8Array(2)
  const names = ['bootorder', 'etc/acpi/rsdp', 'etc/acpi/tables', 'etc/table-loader']
  const record = {
    fwCfg: new Map(names.map((name) => [name, bytes])),
    bootMenu: bytes,
    smbios: bytes,
    variables: new Map([['PK', bytes]]),
  }
  assert.deepEqual(ofQemu(record, { major: 10, minor: 1 }), { record })
  assert.deepEqual(ofQemu(record, { major: 11, minor: 0 }), { record })
  for (const version of [
    { major: 10, minor: 0 },
    { major: 7, minor: 2 },
  ]) {
    const { record: left, leftOut } = ofQemu(record, version)
    assert.deepEqual([...(left?.fwCfg.keys() ?? [])], ['bootorder'])
    assert.equal(left?.smbios, undefined)
    assert.deepEqual(left?.variables, record.variables)
    assert.ok(leftOut?.includes(`${version.major}.${version.minor}`))
  }
})

test('what was predicted is kept, and nothing is read of what cannot be', async () => {
  const owner = join(home, 'owner')
  const nothing = { events: [], processorId: undefined }
  assert.deepEqual(await readPrediction({ owner }, 'td'), nothing)
  const events = [{ event: 'TD HOB', digest: new Uint8Array(48).fill(7) }, { event: 'SMBIOS' }]
  for (const processorId of [undefined, Uint8Array.from([0xf8, 6, 8, 0, 0xff, 0xfb, 0x8b, 0x1f])]) {
    await keepPrediction({ owner }, 'td', { events, processorId })
    assert.deepEqual(await readPrediction({ owner }, 'td'), { events, processorId })
  }
  mkdirSync(join(owner, 'vms', 'other'), { recursive: true })
  for (const text of [
    '',
    '{',
    '{"version":2,"events":[]}',
    '{"version":1,"events":[{"event":1}]}',
  ]) {
    writeFileSync(join(owner, 'vms', 'other', 'machine.json'), text)
    assert.deepEqual(await readPrediction({ owner }, 'other'), nothing)
  }
})

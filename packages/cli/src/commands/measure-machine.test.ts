import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { after, test } from 'node:test'
import { TDVF_SECTION } from '@cloister/verifier/formats/tdvf'
import { tdvfArea, tdvfFirmware } from '@cloister/verifier/testing/tdvf-firmware'
import { WITH_VECTORS, vectorPath } from '@cloister/verifier/testing/vectors'
import { runCloister } from '../testing/run-cloister.ts'

const home = mkdtempSync(join(tmpdir(), 'cloister-measure-'))
after(() => {
  rmSync(home, { recursive: true, force: true })
})

const measure = async (...words: string[]) =>
  await runCloister(['measure', '--tee', 'tdx', '--firmware', firmware, ...words], { home })

const firmware = join(home, 'firmware.fd')
writeFileSync(
  firmware,
  tdvfFirmware(Buffer.from('volume'), [
    tdvfArea(TDVF_SECTION.temporary, 0x81_0000n, 0x1_0000n),
    tdvfArea(TDVF_SECTION.temporary, 0x80_b000n, 0x2000n),
    tdvfArea(TDVF_SECTION.handOff, 0x80_9000n, 0x2000n),
    tdvfArea(TDVF_SECTION.temporary, 0x80_0000n, 0x6000n),
  ]),
)

const GLOBAL = '8BE4DF61-93CA-11D2-AA0D-00E098032B8C'

function machineFiles(): string {
  const folder = join(home, 'machine')
  const write = (name: string, content: string | Uint8Array) => {
    mkdirSync(dirname(join(folder, name)), { recursive: true })
    writeFileSync(join(folder, name), content)
  }
  const loader = Buffer.alloc(256)
  for (const [index, name] of ['etc/acpi/rsdp', 'etc/acpi/tables'].entries()) {
    loader.writeUInt32LE(1, index * 128)
    loader.write(name, index * 128 + 4, 'latin1')
  }
  write('etc/table-loader/raw', loader)
  write('etc/acpi/rsdp/raw', 'rsdp')
  write('etc/acpi/tables/raw', 'tables')
  write('etc/acpi/tables/size', '6\n')
  write('bootorder/raw', 'order')
  write('DMI', Buffer.from([127, 4, 0, 0, 0, 0]))
  write(`efivars/BootOrder-${GLOBAL}`, Buffer.from([7, 0, 0, 0, 0, 0]))
  return folder
}

test('measure --memory --explain lists the events of RTMR0 and which of them are known', async () => {
  const bare = await measure('--memory', '2G', '--explain', '-o', 'json')
  const rows = JSON.parse(bare.out) as { event: string; digest: string | null }[]
  assert.deepEqual(
    rows.filter(({ digest }) => digest !== null).map(({ event }) => event),
    ['TD HOB', 'configuration volume', 'separator'],
  )
  assert.equal(rows.length, 16)
  const registers = JSON.parse((await measure('--memory', '2G', '-o', 'json')).out)
  assert.deepEqual(
    registers.map(({ register }: { register: string }) => register),
    ['MRTD'],
  )
})

test('measure --machine-files gives RTMR0 of what a guest shows', async () => {
  const words = ['--memory', '2G', '--machine-files', machineFiles()]
  const explained = JSON.parse((await measure(...words, '--explain', '-o', 'json')).out)
  const events = explained as { event: string; digest: string }[]
  assert.equal(
    events.find(({ event }) => event === 'etc/acpi/tables')?.digest,
    createHash('sha384').update('tables').digest('hex'),
  )
  let register = Buffer.alloc(48)
  for (const { digest } of events)
    register = createHash('sha384').update(register).update(digest, 'hex').digest()
  const [, row] = JSON.parse((await measure(...words, '-o', 'json')).out)
  assert.deepEqual(row, { register: 'RTMR0', value: register.toString('hex') })
})

test("measure --log names what differs from a real TD's log", WITH_VECTORS, async () => {
  const log = vectorPath('eventlog/CCEL_data_ovmf')
  const words = ['--memory', '2G', '--old-firmware', '--log', log, '-o', 'json']
  const rows = JSON.parse((await measure(...words)).out) as { event: string; verdict: string }[]
  const verdictOf = (name: string) => rows.find(({ event }) => event === name)?.verdict
  assert.equal(verdictOf('TD HOB'), 'predicted')
  assert.equal(verdictOf('separator'), 'predicted')
  assert.deepEqual(Object.keys(rows[0] ?? {}), ['event', 'verdict', 'expected', 'received', 'log'])
  const other = JSON.parse((await measure('--memory', '1G', ...words.slice(2))).out)
  assert.notEqual(other[0].verdict, 'predicted')
})

test('options that go together', async () => {
  for (const words of [
    ['--probe'],
    ['--memory', '2G', '--probe', '--machine-files', home],
    ['--memory', '2G', '--processor-id', 'F8'],
  ])
    assert.equal((await measure(...words)).code, 6, words.join(' '))
  assert.equal((await measure('--memory', '2G', '--machine-files', join(home, 'none'))).code, 6)
  assert.equal((await measure('--memory', '4M')).code, 5)
})

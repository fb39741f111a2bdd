import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import { FormatError } from '../bytes/format-error.ts'
import { fromHex, toHex } from '../bytes/hex.ts'
import { toUtf8 } from '../bytes/text.ts'
import { explainLog } from '../eventlog/explain-log.ts'
import { measuredSmbios, withProcessorId } from '../formats/smbios.ts'
import { TDVF_SECTION } from '../formats/tdvf.ts'
import { tdvfArea, tdvfFirmware } from '../testing/tdvf-firmware.ts'
import { WITH_VECTORS, vector } from '../testing/vectors.ts'
import { compareMachine } from './compare-machine.ts'
import { predictMachineEvents, predictRtmr0, variableKey } from './machine-events.ts'
import type { MachineRecord } from './machine-events.ts'
import { EFI_GLOBAL_VARIABLE, EFI_IMAGE_SECURITY_DATABASE, variableDigest } from './rtmr.ts'
import { encodeTdHob } from './td-hob.ts'

const sha384 = (data: Uint8Array) => createHash('sha384').update(data).digest('hex')

/** Of OVMF since 2022. */
const AREAS = [
  tdvfArea(TDVF_SECTION.temporary, 0x81_0000n, 0x1_0000n),
  tdvfArea(TDVF_SECTION.temporary, 0x80_b000n, 0x2000n),
  tdvfArea(TDVF_SECTION.handOff, 0x80_9000n, 0x2000n),
  tdvfArea(TDVF_SECTION.temporary, 0x80_0000n, 0x6000n),
]
/** EFI_LOAD_OPTION of OVMF's setup screen, in firmware before 2025. */
const UI_APP = fromHex(
  '090100002c0055006900410070007000000004071400c9bdb87cebf8344faaea3ee4af6516a10406140021aa2c4614760345836e8ab6f46623317fff0400',
)

function record(more: Partial<MachineRecord> = {}): MachineRecord {
  return {
    fwCfg: new Map(),
    bootMenu: new Uint8Array(2),
    variables: new Map([
      [variableKey('BootOrder', EFI_GLOBAL_VARIABLE), Uint8Array.of(0, 0)],
      [variableKey('Boot0000', EFI_GLOBAL_VARIABLE), UI_APP],
    ]),
    ...more,
  }
}

/** One entry of the loader's script. */
function allocate(name: string): Uint8Array {
  const entry = new Uint8Array(128)
  entry[0] = 1
  entry.set(toUtf8(name), 4)
  return entry
}

test("encodeTdHob(): the digest in a real TD's log, of 2 GiB", WITH_VECTORS, async () => {
  const { events } = await explainLog(vector('eventlog/CCEL_data_ovmf'))
  assert.equal(sha384(encodeTdHob(AREAS, 2048)), events.find(isOfRtmr0)?.digest)
  assert.notEqual(sha384(encodeTdHob(AREAS, 2049)), events.find(isOfRtmr0)?.digest)
})

const isOfRtmr0 = ({ register, digest }: { register: string; digest: string | null }) =>
  register === 'RTMR 0' && digest !== null

test('encodeTdHob(): memory above 4 GiB, and none that the firmware needs', () => {
  const ranges = (memoryMiB: number) => {
    const bytes = encodeTdHob(AREAS, memoryMiB)
    const view = new DataView(bytes.buffer)
    return Array.from({ length: (bytes.length - 56) / 48 }, (_, index) => {
      const at = 56 + index * 48
      return [
        view.getUint32(at + 24, true),
        view.getBigUint64(at + 32, true).toString(16),
        view.getBigUint64(at + 40, true).toString(16),
      ]
    })
  }
  const below = [
    [7, '0', '800000'],
    [0, '800000', '6000'],
    [7, '806000', '3000'],
    [0, '809000', '2000'],
    [0, '80b000', '2000'],
    [7, '80d000', '3000'],
    [0, '810000', '10000'],
  ]
  assert.deepEqual(ranges(2815), [...below, [7, '820000', 'af6e0000']])
  assert.deepEqual(ranges(2816), [
    ...below,
    [7, '820000', '7f7e0000'],
    [7, '100000000', '30000000'],
  ])
  assert.throws(() => encodeTdHob(AREAS, 8), RangeError)
  assert.throws(() => encodeTdHob(AREAS.slice(0, 2), 2048), RangeError)
})

test('predictMachineEvents(): firmware alone, a whole record, and a broken one', async () => {
  const firmware = tdvfFirmware(toUtf8('volume'), AREAS)
  const bare = await predictMachineEvents({ firmware, memoryMiB: 512 })
  assert.deepEqual(
    bare.filter(({ digest }) => digest !== undefined).map(({ event }) => event),
    ['TD HOB', 'configuration volume', 'separator'],
  )
  assert.equal(await predictRtmr0(bare), undefined)
  const script = new Uint8Array([...allocate('etc/acpi/rsdp'), ...allocate('etc/acpi/tables')])
  const fwCfg = new Map([
    ['etc/table-loader', new Uint8Array([...script, ...new Uint8Array(128)])],
    ['etc/acpi/rsdp', toUtf8('rsdp')],
    ['etc/acpi/tables', toUtf8('tables')],
    ['bootorder', toUtf8('/rom@genroms/linuxboot_dma.bin\0')],
    ['etc/boot-menu-wait', toUtf8('of another size')],
    ['etc/extra-pci-roots', new Uint8Array(8)],
  ])
  const smbios = Uint8Array.of(127, 4, 0, 0, 0, 0, 99)
  const input = { firmware, memoryMiB: 512, record: record({ fwCfg, smbios }) }
  const events = await predictMachineEvents(input)
  assert.deepEqual(
    events.map(({ event }) => event),
    [
      'TD HOB',
      'configuration volume',
      'etc/extra-pci-roots',
      'BootMenu',
      'bootorder',
      'SecureBoot',
      'PK',
      'KEK',
      'db',
      'dbx',
      'separator',
      'etc/table-loader',
      'etc/acpi/rsdp',
      'etc/acpi/tables',
      'SMBIOS',
      'BootOrder',
      'Boot0000',
    ],
  )
  const digest = (name: string) =>
    toHex(events.find(({ event }) => event === name)?.digest ?? UI_APP)
  assert.equal(digest('configuration volume'), sha384(toUtf8('volume')))
  assert.equal(digest('etc/acpi/tables'), sha384(toUtf8('tables')))
  assert.equal(digest('SMBIOS'), sha384(smbios.subarray(0, 6)))
  assert.equal(digest('db'), toHex(await variableDigest(EFI_IMAGE_SECURITY_DATABASE, 'db')))
  let register = new Uint8Array(48)
  for (const { digest: each = register } of events)
    register = new Uint8Array(createHash('sha384').update(register).update(each).digest())
  assert.equal(toHex((await predictRtmr0(events)) ?? UI_APP), toHex(register))
  const broken = record({ fwCfg: new Map([['etc/table-loader', new Uint8Array(127)]]) })
  await assert.rejects(predictMachineEvents({ ...input, record: broken }), FormatError)
})

test("compareMachine(): a real TD's log, event by event", WITH_VECTORS, async () => {
  const { events } = await explainLog(vector('eventlog/CCEL_data_ovmf'))
  const log = events.flatMap((event) =>
    event.register === 'RTMR 0' && event.digest !== null
      ? [{ ...event, digest: event.digest }]
      : [],
  )
  const predicted = await predictMachineEvents({
    firmware: tdvfFirmware(toUtf8('another volume'), AREAS),
    memoryMiB: 2048,
    record: record(),
    firmwareEvents: 'before-2025.05',
  })
  const rows = compareMachine(predicted, log)
  assert.deepEqual(
    rows.map(({ event, verdict }) => [event, verdict]),
    [
      ['TD HOB', 'predicted'],
      ['configuration volume', 'differs'],
      ['SecureBoot', 'predicted'],
      ['PK', 'predicted'],
      ['KEK', 'predicted'],
      ['db', 'predicted'],
      ['dbx', 'predicted'],
      ['separator', 'predicted'],
      ['etc/table-loader', 'unknown'],
      ['etc/acpi/rsdp', 'unknown'],
      ['etc/acpi/tables', 'unknown'],
      ['BootOrder', 'predicted'],
      ['Boot0000', 'predicted'],
      ['the firmware ends its part', 'unexpected'],
    ],
  )
  assert.deepEqual(
    rows.map(({ received }) => received),
    log.map(({ digest }) => digest),
  )
})

test('compareMachine(): a missing event, and a log without end', () => {
  const digest = (byte: number) => new Uint8Array(48).fill(byte)
  const event = (byte: number) => ({
    digest: toHex(digest(byte)),
    description: `${byte}`,
    isMeasured: false,
  })
  const predicted = [1, 2, 3].map((byte) => ({ event: `e${byte}`, digest: digest(byte) }))
  assert.deepEqual(
    compareMachine(predicted, [event(1), event(3)]).map(({ event: name, verdict }) => [
      name,
      verdict,
    ]),
    [
      ['e1', 'predicted'],
      ['e2', 'missing'],
      ['e3', 'predicted'],
    ],
  )
  assert.throws(
    () =>
      compareMachine(
        predicted,
        Array.from({ length: 513 }, () => event(1)),
      ),
    RangeError,
  )
})

test('measuredSmbios() blanks what EDK2 blanks', () => {
  const strings = (...texts: string[]) => [...toUtf8(texts.map((text) => `${text}\0`).join('')), 0]
  const end = [127, 4, 9, 9, 0, 0]
  const measured = (...tables: number[]) => [
    ...measuredSmbios(Uint8Array.from([...tables, ...end])),
  ]
  const type1 = (serial: number, uuid: number) => [
    1,
    27,
    0,
    1,
    1,
    2,
    0,
    serial,
    ...Array<number>(16).fill(uuid),
    6,
    0,
    0,
    ...strings('QEMU', 'PC', 'secret'),
  ]
  const blanked = type1(0, 0).with(24, 0)
  const start = blanked.length - 'secret\0\0'.length
  assert.deepEqual(measured(...type1(3, 7)), [
    ...blanked.slice(0, start),
    ...toUtf8('      '),
    0,
    0,
    ...end,
  ])
  assert.deepEqual(measured(11, 5, 0, 1, 1, ...strings('oem')), [
    11,
    5,
    0,
    1,
    ...Array<number>(6).fill(0),
    ...end,
  ])
  assert.deepEqual(measured(200, 5, 0, 1, 1, 0, 0), [200, 5, 0, 1, 0, 0, 0, ...end])
  assert.deepEqual(measured(0, 5, 0, 1, 1, ...strings('kept')), [
    0,
    5,
    0,
    1,
    1,
    ...strings('kept'),
    ...end,
  ])
  // What stands behind the end is not measured.
  assert.deepEqual([...measuredSmbios(Uint8Array.from([...end, 1, 2, 3]))], end)
  for (const broken of [[], [1], [1, 3, 0, 0, 0, 0], [1, 4, 0, 0, 65, 66], [1, 4, 0, 0, 0, 0]])
    assert.throws(() => measuredSmbios(Uint8Array.from(broken)), FormatError)
})

test('withProcessorId() changes the processors alone', () => {
  const end = [127, 4, 9, 9, 0, 0]
  const processor = (id: number) => [4, 17, 0, 4, 1, 3, 1, 2, ...Array<number>(8).fill(id), 3, 0, 0]
  const other = [17, 5, 0, 5, 1, 0, 0]
  const changed = withProcessorId(
    Uint8Array.from([...processor(1), ...other, ...end]),
    new Uint8Array(8).fill(7),
  )
  assert.deepEqual([...changed], [...processor(7), ...other, ...end])
  assert.throws(() => withProcessorId(Uint8Array.from(end), new Uint8Array(7)), RangeError)
  assert.throws(() => withProcessorId(Uint8Array.of(4, 17), new Uint8Array(8)), FormatError)
})

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { parseCertificate } from '../formats/x509-certificate.ts'
import { bootEvents } from './boot-events.ts'
import { compareBoots } from './compare-boots.ts'
import { parseGptEvent } from './gpt-event.ts'
import { predictBoot, type PredictionInput } from './predict-boot.ts'
import { shimMeasurements } from './shim-measurements.ts'
import { parseTcgLog } from './tcg-log.ts'
import { parseSignatureLists, parseUefiVariable } from './uefi-variable.ts'
import { changedEvent } from '../testing/changed-event.ts'

const boot = (name: string) =>
  parseTcgLog(readFileSync(new URL(`../../test/boots/${name}.bin`, import.meta.url)))
const FIRST = boot('first')
const DRIVER_CONFIG = 0x8000_0001
const AUTHORITY = 0x8000_00e0
const OWNER_BYTES = 16

function variables(type: number): Map<string, Uint8Array> {
  return new Map(
    FIRST.events
      .filter((event) => event.index === 7 && event.type === type)
      .map(({ data }) => parseUefiVariable(data, 'any'))
      .map(({ name, data }) => [name, data]),
  )
}

const u32 = (...values: readonly number[]) => Buffer.from(Uint32Array.from(values).buffer)

/** A PE image with nothing but what shim 16.1 has that is measured: its maker's certificate is the one in the log. */
function shimLike(version = '16.1'): Buffer {
  const vendor = (variables(AUTHORITY).get('MokListRT') ?? Buffer.alloc(0)).subarray(OWNER_BYTES)
  const level = Buffer.from(variables(AUTHORITY).get('SbatLevel') ?? [])
  const latest = Buffer.from('sbat,1,2099010100\n\0')
  const sections: Readonly<Record<string, Buffer>> = {
    '.ident': Buffer.from(`UEFI SHIM\n$Version: ${version} $\n`),
    '.vendor': Buffer.concat([u32(vendor.length, 0, 16, 16 + vendor.length), vendor]),
    '.level': Buffer.concat([u32(0, 8, 8 + level.length + 1), level, Buffer.alloc(1), latest]),
  }
  const names = { '.ident': '.data.ident', '.vendor': '.vendor_cert', '.level': '.sbatlevel' }
  const count = Object.keys(sections).length
  const optional = Buffer.alloc(0xf0)
  optional.writeUInt16LE(0x20b)
  const headers = 64 + 24 + optional.length + count * 40
  optional.writeUInt32LE(headers, 60)
  optional.writeUInt32LE(16, 108)
  const strings: Buffer[] = [u32(0)]
  const table: Buffer[] = []
  let at = headers
  for (const [short, content] of Object.entries(sections)) {
    const header = Buffer.alloc(40)
    header.write(`/${Buffer.concat(strings).length}`)
    strings.push(Buffer.from(`${names[short as keyof typeof names]}\0`))
    header.writeUInt32LE(content.length, 8)
    header.writeUInt32LE(content.length, 16)
    header.writeUInt32LE(at, 20)
    at += content.length
    table.push(header)
  }
  const dos = Buffer.alloc(64)
  dos.write('MZ')
  dos.writeUInt32LE(64, 60)
  const coff = Buffer.alloc(24)
  coff.write('PE\0\0')
  coff.writeUInt16LE(count, 6)
  coff.writeUInt32LE(at, 12)
  coff.writeUInt16LE(optional.length, 20)
  // The signature names the issuer of its signer.
  const [signer] = parseSignatureLists(variables(DRIVER_CONFIG).get('db') ?? new Uint8Array())
    .filter(({ data }) => Buffer.from(data).equals(dbCertificate()))
    .map(({ data }) => parseCertificate(data).subject.raw)
  const parts = [dos, coff, optional, ...table, ...Object.values(sections), ...strings]
  return Buffer.concat([...parts, signer ?? Buffer.alloc(0)])
}

function dbCertificate(): Buffer {
  return Buffer.from(variables(AUTHORITY).get('db') ?? []).subarray(OWNER_BYTES)
}

async function input(change: Partial<PredictionInput> = {}): Promise<PredictionInput> {
  const events = await bootEvents(FIRST, 'sha256')
  const table = events.find(({ component }) => component === 'partition table')?.data ?? ''
  const data = variables(DRIVER_CONFIG)
  const of = (name: string) => data.get(name) ?? new Uint8Array()
  return {
    images: [{ component: 'shim', path: '/EFI/BOOT/BOOTX64.EFI', content: shimLike() }],
    isWholeChain: false,
    table: parseGptEvent(Buffer.from(table, 'hex')),
    files: [],
    commandLines: [],
    secureBoot: { PK: of('PK'), KEK: of('KEK'), db: of('db'), dbx: of('dbx') },
    ...change,
  }
}

test('predictBoot() knows PCR 7 whole and the lists of shim, in both banks', async () => {
  for (const bank of ['sha256', 'sha384'] as const) {
    const events = await bootEvents(FIRST, bank)
    const { registers } = await predictBoot(await input(), bank)
    const predicted = (pcr: number) =>
      registers.find((register) => register.pcr === pcr)?.events.map(({ digest }) => digest)
    const measured = (pcr: number) =>
      events.filter((event) => event.pcr === pcr).map(({ digest }) => digest)
    assert.deepEqual(predicted(7), measured(7))
    // The refused list of this shim stands in the log only as a digest.
    const [list, , trusted] = measured(14)
    assert.deepEqual(
      [predicted(14)?.[0], predicted(14)?.[2], predicted(14)?.length],
      [list, trusted, 3],
    )
    for (const pcr of [2, 3, 6]) assert.deepEqual(predicted(pcr), measured(pcr))
  }
})

test('predictBoot() knows all of PCR 0 but two events, and all that follows them', async () => {
  const prediction = await predictBoot(
    await input({ firmwareVolumes: [Buffer.from('PEI'), Buffer.from('DXE')] }),
  )
  const events = await bootEvents(FIRST, 'sha256')
  const dxe = events.filter(({ pcr }) => pcr === 0)[2]
  assert.ok(dxe)
  const withDxe = (digest: string) => ({
    ...prediction,
    registers: prediction.registers.map((register) =>
      register.pcr === 0
        ? {
            ...register,
            events: register.events.map((event, index) =>
              index === 2 ? { ...event, digest } : event,
            ),
          }
        : register,
    ),
  })
  for (const name of ['first', 'command-line']) {
    const { registers, changes } = await compareBoots(withDxe(dxe.digest), boot(name))
    const firmware = registers.find(({ pcr }) => pcr === 0)
    assert.equal(firmware?.status, 'unknown', name)
    assert.match(firmware.why ?? '', /PEI volume/)
    assert.deepEqual(
      changes.filter(({ pcr }) => pcr === 0),
      [],
    )
  }
  const { early, changes } = await compareBoots(withDxe('ab'.repeat(32)), FIRST)
  assert.equal(early, 'mismatch')
  assert.deepEqual(
    changes.filter(({ pcr }) => pcr === 0).map(({ component, kind }) => [component, kind]),
    [['firmware', 'changed']],
  )
})

test('predictBoot() takes boot entries of the firmware for what they are, and nothing else in PCR 1', async () => {
  const prediction = await predictBoot(await input())
  const statusOf = async (log: typeof FIRST) =>
    (await compareBoots(prediction, log)).registers.find(({ pcr }) => pcr === 1)
  assert.equal((await statusOf(FIRST))?.status, 'match')
  const more = FIRST.events.flatMap((event) =>
    event.index === 1 && event.type === 0x4
      ? [changedEvent(event, { type: 0x8000_000b }), event]
      : [event],
  )
  const found = await statusOf({ ...FIRST, events: more })
  assert.equal(found?.status, 'unknown')
  assert.match(found.why ?? '', /tables/)
})

test('predictBoot() leaves out what it does not know, and says why', async () => {
  const other = await input({
    images: [{ component: 'shim', path: '/x', content: shimLike('15.7') }],
  })
  const { registers, unknown = [] } = await predictBoot(other)
  assert.deepEqual(
    unknown.map(({ pcr }) => pcr),
    [0, 1, 4, 7, 8, 9, 14],
  )
  assert.equal(registers.find(({ pcr }) => pcr === 7)?.knowledge, 'begins')
  assert.ok(!registers.some(({ pcr }) => pcr === 14))
  const comparison = await compareBoots(await predictBoot(other), FIRST)
  assert.deepEqual(
    comparison.registers.filter(({ status }) => status === 'unknown').every(({ why }) => why),
    true,
  )
})

test('shimMeasurements() takes no section that lies about its sizes', () => {
  const image = shimLike()
  const place = image.indexOf('.vendor_cert')
  assert.ok(place > 0)
  const sizes = image.indexOf(u32(16, 16 + 930))
  assert.ok(sizes > 0)
  const lying = Buffer.from(image)
  lying.writeUInt32LE(0x7fff_ffff, sizes)
  assert.throws(() => shimMeasurements(lying), { name: 'FormatError' })
  assert.equal(shimMeasurements(shimLike('16.0')), undefined)
})

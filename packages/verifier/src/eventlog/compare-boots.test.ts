import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { fromHex } from '../bytes/hex.ts'
import { bootEvents } from './boot-events.ts'
import { compareBoots } from './compare-boots.ts'
import type { BootChange } from './compare-boots.ts'
import { isGrownTable, parseGptEvent } from './gpt-event.ts'
import { baselineBank, learnBaseline } from './integrity-baseline.ts'
import type { IntegrityBaseline } from './integrity-baseline.ts'
import { predictBoot } from './predict-boot.ts'
import { parseTcgLog } from './tcg-log.ts'
import type { TcgLog } from './tcg-log.ts'
import { parseUefiVariable } from './uefi-variable.ts'
import { changedEvent } from '../testing/changed-event.ts'

function boot(name: string): TcgLog {
  return parseTcgLog(readFileSync(new URL(`../../test/boots/${name}.bin`, import.meta.url)))
}

const first = boot('first')

async function learned(): Promise<IntegrityBaseline> {
  return learnBaseline(first, 'sha256')
}

/** The other boots had less memory, which OVMF measures. */
async function learnedWithout(...pcrs: readonly number[]): Promise<IntegrityBaseline> {
  const baseline = await learned()
  return { ...baseline, registers: baseline.registers.filter(({ pcr }) => !pcrs.includes(pcr)) }
}

const unexplained = (changes: readonly BootChange[]) =>
  changes.filter(({ isExplained, pcr }) => !isExplained && pcr !== 0)

test('baselineBank() is SHA-256 where the log has it, and never SHA-1', () => {
  assert.equal(baselineBank(first), 'sha256')
  assert.equal(baselineBank({ ...first, hashes: [] }), undefined)
  assert.equal(
    baselineBank({ ...first, hashes: first.hashes.filter(({ name }) => name === 'sha384') }),
    'sha384',
  )
})

test('bootEvents() names the parts of a boot through shim and GRUB', async () => {
  const events = await bootEvents(first, 'sha256')
  const started = events.filter(
    ({ pcr, event }) => pcr === 4 && event === 'EV_EFI_BOOT_SERVICES_APPLICATION',
  )
  assert.deepEqual(
    started.map(({ component }) => component),
    ['shim', 'grub', 'kernel', 'kernel'],
  )
  const read = events.filter(({ pcr }) => pcr === 9)
  assert.deepEqual(
    read.map(({ component }) => component),
    ['grub configuration', 'grub configuration', 'kernel', 'initrd'],
  )
  const line = events.find(({ component }) => component === 'kernel command line')
  assert.match(line?.subject ?? '', /^\/boot\/vmlinuz-6\.12\.95.* ro console=tty0 console=ttyS0/)
  for (const { component } of events) assert.notEqual(component, 'other')
})

test('compareBoots() of a boot with itself is a match without changes, in each bank', async () => {
  for (const bank of ['sha256', 'sha384'] as const) {
    const { early, late, changes } = await compareBoots(await learnBaseline(first, bank), first)
    assert.deepEqual([early, late, changes], ['match', 'match', []])
  }
})

test('compareBoots() explains a disk that has grown', async () => {
  const { early, late, changes } = await compareBoots(await learned(), boot('second'))
  assert.deepEqual([early, late], ['match', 'match'])
  const [change, ...more] = changes
  assert.deepEqual(more, [])
  assert.equal(change?.component, 'partition table')
  assert.equal(change.isExplained, true)
  assert.equal(change.pcr, 5)
  assert.notEqual(change.expected, change.received)
})

test('compareBoots() does not explain a table that is not the same one grown', async () => {
  const events = await bootEvents(first, 'sha256')
  const data = fromHex(events.find(({ component }) => component === 'partition table')?.data ?? '')
  assert.equal(isGrownTable(data, data), true)
  const { entries } = parseGptEvent(data)
  const firstEntry = 92 + 8
  // Type, id, start, end of another than the last, attributes, name, disk id; and a last partition that shrinks.
  for (const offset of [0, 16, 32, 40, 48, 56, 56 - firstEntry]) {
    const other = data.slice()
    const place = firstEntry + offset
    other[place] = (other[place] ?? 0) ^ 1
    assert.equal(isGrownTable(data, other), false, `${offset}`)
  }
  const shrunk = data.slice()
  shrunk[firstEntry + 128 + 42] = 0
  assert.equal(isGrownTable(data, shrunk), false)
  assert.equal(isGrownTable(data, data.subarray(0, firstEntry + 128)), false)
  assert.equal(entries.length, 2)
})

test('compareBoots() names an edited command line with PCR and both digests', async () => {
  const { late, changes } = await compareBoots(await learned(), boot('command-line'))
  assert.equal(late, 'mismatch')
  const found = unexplained(changes)
  assert.ok(found.every(({ phase, kind }) => phase === 'late' && kind === 'changed'))
  const line = found.find(({ component }) => component === 'kernel command line')
  assert.match(line?.subject ?? '', /init=\/bin\/sh/)
  assert.doesNotMatch(line?.expectedSubject ?? 'init=/bin/sh', /init=/)
  const file = found.find(({ component }) => component === 'grub configuration')
  assert.deepEqual([file?.pcr, file?.subject], [9, '(hd0,gpt2)/boot/grub/grub.cfg'])
  assert.match(file?.expected ?? '', /^fa980a8416ec/)
  assert.match(file?.received ?? '', /^3bdc1df5abf1/)
})

test('compareBoots() names another boot loader, though it is signed', async () => {
  const { early, changes } = await compareBoots(await learned(), boot('other-loader'))
  assert.equal(early, 'mismatch')
  const grub = unexplained(changes).find(({ component }) => component === 'grub')
  assert.deepEqual([grub?.pcr, grub?.kind], [4, 'changed'])
  assert.match(grub?.expected ?? '', /^a68f6d71ebdd/)
  assert.match(grub?.received ?? '', /^0acfb229cd4f/)
})

test('compareBoots() of a boot that was refused says how far it got', async () => {
  const { early, late, changes } = await compareBoots(await learned(), boot('loader-refused'))
  assert.deepEqual([early, late], ['mismatch', 'mismatch'])
  assert.ok(
    changes.some(
      ({ component, kind, pcr }) => component === 'grub' && kind === 'removed' && pcr === 4,
    ),
  )
  const late8 = changes.filter(({ pcr }) => pcr === 8)
  assert.deepEqual(
    late8.map(({ kind }) => kind),
    ['not-reached'],
  )
})

test('compareBoots() of firmware that differs names it', async () => {
  const { early, changes } = await compareBoots(await learned(), boot('command-line'))
  assert.equal(early, 'mismatch')
  assert.deepEqual(
    changes.filter(({ pcr }) => pcr === 0).map(({ component, kind }) => [component, kind]),
    [['firmware', 'changed']],
  )
})

test('compareBoots() explains a log that was copied before the firmware handed over', async () => {
  const events = first.events.filter(({ index, type }) => index !== 5 || type !== 0x8000_0007)
  assert.equal(events.length, first.events.length - 2)
  const { early, late, changes } = await compareBoots(await learned(), { ...first, events })
  assert.deepEqual([early, late], ['match', 'match'])
  assert.deepEqual(
    changes.map(({ component, kind, isExplained }) => [component, kind, isExplained]),
    [
      ['firmware action', 'removed', true],
      ['firmware action', 'removed', true],
    ],
  )
})

test('compareBoots() refuses a PCR that a learned baseline does not have', async () => {
  const { late } = await compareBoots(await learnedWithout(14), first)
  assert.equal(late, 'mismatch')
})

test('compareBoots() finds order, additions and removals', async () => {
  const baseline = await learned()
  const changed = (change: (events: TcgLog['events'][number][]) => void) => {
    const events = [...first.events]
    change(events)
    return compareBoots(baseline, { ...first, events })
  }
  const place = first.events.findIndex(({ index }) => index === 14)
  const added = await changed((events) =>
    events.splice(
      place,
      0,
      changedEvent(first.events[place]!, { digests: first.events[0]!.digests }),
    ),
  )
  assert.deepEqual(
    added.changes.map(({ component, kind }) => [component, kind]),
    [['machine owner keys', 'added']],
  )
  const removed = await changed((events) => events.splice(place, 1))
  assert.deepEqual(
    removed.changes.map(({ component, kind, subject }) => [component, kind, subject]),
    [['machine owner keys', 'removed', 'MokList']],
  )
  const moved = await changed((events) => {
    const [event] = events.splice(place, 1)
    events.push(event!)
  })
  assert.deepEqual(
    moved.changes.map(({ kind, pcr }) => [kind, pcr]),
    [['reordered', 14]],
  )
  assert.equal(moved.late, 'mismatch')
})

test('compareBoots() explains boot entries of the firmware, which start nothing by themselves', async () => {
  const events = first.events.map((event) =>
    event.index === 1 && event.type === 0x8000_0002
      ? changedEvent(event, {
          digests: event.digests.map(({ hash, digest }) => ({
            hash,
            digest: digest.map((byte) => byte ^ 1),
          })),
        })
      : event,
  )
  const { early, changes } = await compareBoots(await learned(), { ...first, events })
  assert.equal(early, 'match')
  assert.deepEqual(
    changes.map(({ component, subject, isExplained }) => [component, subject, isExplained]),
    ['BootOrder', 'Boot0001', 'Boot0000', 'Boot0002'].map((name) => ['boot order', name, true]),
  )
})

test('predictBoot() knows keys, partitions and command line of a boot before it was', async () => {
  const variable = (name: string) => {
    for (const { index, type, data } of first.events) {
      if (index !== 7 || type !== 0x8000_0001) continue
      const parsed = parseUefiVariable(data)
      if (parsed.name === name) return parsed.data
    }
    throw new Error(name)
  }
  const events = await bootEvents(first, 'sha256')
  const table = events.find(({ component }) => component === 'partition table')?.data ?? ''
  const line = events.find(({ component }) => component === 'kernel command line')?.subject ?? ''
  const input = {
    images: [],
    isWholeChain: false,
    table: parseGptEvent(fromHex(table)),
    files: [],
    commandLines: [line, '/boot/vmlinuz-older ro'],
    secureBoot: {
      PK: variable('PK'),
      KEK: variable('KEK'),
      db: variable('db'),
      dbx: variable('dbx'),
    },
  }
  const predicted = await compareBoots(await predictBoot(input), first)
  assert.deepEqual([predicted.early, predicted.late, predicted.changes], ['unknown', 'unknown', []])
  const statuses = new Map(predicted.registers.map(({ pcr, status }) => [pcr, status]))
  assert.deepEqual(
    [statuses.get(5), statuses.get(6), statuses.get(0)],
    ['match', 'match', 'unknown'],
  )

  const edited = await compareBoots(await predictBoot(input), boot('command-line'))
  assert.equal(edited.late, 'mismatch')
  assert.deepEqual(
    edited.changes.map(({ component, pcr }) => [component, pcr]),
    [['kernel command line', 8]],
  )
  const otherKeys = { ...input, secureBoot: { ...input.secureBoot, db: variable('KEK') } }
  const { early, changes } = await compareBoots(await predictBoot(otherKeys), first)
  assert.equal(early, 'mismatch')
  assert.deepEqual(
    changes.map(({ component }) => component),
    ['Secure Boot db'],
  )
})

test('predictBoot() takes only files of the image for read, whatever their order', async () => {
  const events = await bootEvents(first, 'sha256')
  const baseline: IntegrityBaseline = {
    version: 1,
    origin: 'predicted',
    bank: 'sha256',
    registers: [
      {
        pcr: 9,
        knowledge: 'members',
        events: events.filter(({ pcr }) => pcr === 9).toReversed(),
      },
    ],
  }
  const same = await compareBoots(baseline, first)
  assert.equal(same.registers.find(({ pcr }) => pcr === 9)?.status, 'match')
  const { changes } = await compareBoots(baseline, boot('command-line'))
  assert.deepEqual(
    changes.map(({ component, kind, pcr }) => [component, kind, pcr]),
    [['grub configuration', 'changed', 9]],
  )
})

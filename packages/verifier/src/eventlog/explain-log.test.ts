import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { FormatError } from '../bytes/format-error.ts'
import { fromHex, toHex } from '../bytes/hex.ts'
import { toUtf8 } from '../bytes/text.ts'
import { fakeEvent, fakeLog, goodBoot } from '../testing/fake-tpm.ts'
import { WITH_VECTORS, vector } from '../testing/vectors.ts'
import { diffLogs } from './diff-logs.ts'
import type { LogDifference } from './diff-logs.ts'
import { EVENT_TYPE } from './event-types.ts'
import { explainLog } from './explain-log.ts'
import { replayLog } from './replay.ts'
import { parseTcgLog } from './tcg-log.ts'

const bootFile = (name: string) =>
  new Uint8Array(readFileSync(new URL(`../../test/boots/${name}.bin`, import.meta.url)))

async function diffOf(a: Uint8Array, b: Uint8Array): Promise<LogDifference[]> {
  return diffLogs(await explainLog(a), await explainLog(b))
}

test('explainLog() tells each event with the value after it, and the last ones are what replay gives', async () => {
  const bytes = bootFile('first')
  const { bank, banks, events, registers } = await explainLog(bytes)
  assert.deepEqual([bank, banks], ['sha256', ['sha384', 'sha256']])
  const replayed = await replayLog(parseTcgLog(bytes), 'sha256')
  assert.deepEqual(
    [...registers],
    [...replayed]
      .toSorted(([one], [other]) => one - other)
      .map(([index, value]) => [`PCR ${index}`, toHex(value)]),
  )
  const describe = (number: number) => events[number]?.description
  assert.equal(describe(3), 'Secure Boot is on')
  assert.equal(describe(5), 'Secure Boot KEK: 2 certificates, 0 digests')
  assert.equal(describe(9), 'boot entry BootOrder: 0001, 0000, 0002')
  assert.equal(describe(10), 'boot entry Boot0001: UEFI Misc Device')
  assert.equal(describe(22), 'partition table: 2 partitions (esp, root)')
  assert.equal(describe(23), String.raw`shim: \EFI\BOOT\BOOTX64.EFI`)
  assert.equal(describe(52), 'firmware action: Exit Boot Services Returned with Success')
  assert.equal(events[3]?.isMeasured, true)
  assert.equal(events[36]?.isMeasured, true, "the digest is of the text behind GRUB's prefix")
  assert.equal(events[23]?.isMeasured, false, 'a path is measured by nobody')
})

test('explainLog() takes another bank on demand, and none that the log lacks', async () => {
  const { bank, registers } = await explainLog(bootFile('first'), 'sha384')
  assert.equal(bank, 'sha384')
  assert.equal(registers.get('PCR 0')?.length, 96)
  await assert.rejects(explainLog(bootFile('first'), 'sha1'), FormatError)
  await assert.rejects(explainLog(toUtf8('no log at all')), FormatError)
})

test('explainLog() numbers the registers of a CCEL as RTMRs', WITH_VECTORS, async () => {
  const { bank, events, registers } = await explainLog(vector('eventlog/CCEL_data_grub_gke'))
  assert.equal(bank, 'sha384')
  assert.deepEqual([...registers.keys()], ['RTMR 0', 'RTMR 1', 'RTMR 2'])
  const found = (register: string, component: string) =>
    events.find((event) => event.register === register && event.component === component)
  assert.equal(found('RTMR 0', 'Secure Boot state')?.description, 'Secure Boot is off')
  assert.equal(found('RTMR 0', 'boot order')?.description, 'boot entry BootOrder: 0001, 0000')
  assert.equal(found('RTMR 1', 'shim')?.description, String.raw`shim: \EFI\BOOT\BOOTX64.EFI`)
  assert.equal(found('RTMR 1', 'partition table')?.isMeasured, true)
  assert.equal(found('RTMR 2', 'unified kernel image')?.description, 'unified kernel image: linux')
  const [note] = events
  assert.deepEqual([note?.digest, note?.value], [null, null], 'a note extends nothing')
})

test('explainLog() reads td-shim, GRUB and runtime events of CCELs', WITH_VECTORS, async () => {
  const shim = await explainLog(vector('eventlog/CCEL_data'))
  assert.deepEqual(
    shim.events.slice(3).map(({ description }) => description),
    ['kernel: td_payload', 'kernel command line: root=/dev/vda1 console=hvc0 rw'],
  )
  const { events } = await explainLog(vector('eventlog/CCEL_AAEL_alibabacloud'))
  const runtime = events.find(({ component }) => component === 'runtime event')
  assert.equal(runtime?.description, 'runtime event: coco.com some-operation some-content')
  assert.equal(runtime.register, 'RTMR 3')
  assert.ok(events.some(({ component }) => component === 'grub command'))
  assert.ok(events.every(({ component }) => component !== 'other'))
})

test('explainLog() reads a canonical log', WITH_VECTORS, async () => {
  const { form, events, registers } = await explainLog(vector('tpm/cel/cel.b64'))
  assert.equal(form, 'cel')
  assert.equal(events.length, 18)
  assert.equal(events[2]?.description, 'restart-policy: Never')
  assert.ok(events.every(({ isMeasured }) => isMeasured))
  assert.deepEqual(
    [...registers],
    [
      [
        'RTMR 3',
        '2261f93374ed538b35e7e93c540a1562ccb25d14f6c40a1efea03d329e29a97172d84e152344af4a7188d0c8b9fcabeb',
      ],
    ],
  )
})

test('diffLogs() finds nothing between a boot and itself', async () => {
  assert.deepEqual(await diffOf(bootFile('first'), bootFile('first')), [])
})

test('diffLogs() knows a disk that has grown', async () => {
  const [difference, ...more] = await diffOf(bootFile('first'), bootFile('second'))
  assert.deepEqual(more, [])
  assert.equal(difference?.register, 'PCR 5')
  assert.equal(difference.component, 'partition table')
  assert.match(difference.cause, /^the disk has grown/)
})

test('diffLogs() names the word that was written into the command line, and what was read before it', async () => {
  const differences = await diffOf(bootFile('first'), bootFile('command-line'))
  // The second machine has less memory, which OVMF measures into PCR 0.
  assert.deepEqual(
    differences.map(({ register }) => register),
    ['PCR 0', 'PCR 9', 'PCR 8'],
  )
  const [, file, command] = differences
  assert.match(file?.cause ?? '', /grub\.cfg" has other contents: a configuration/)
  assert.equal(command?.cause, `GRUB's command differs: only B has "init=/bin/sh"`)
  assert.equal(command.more, 4, 'two more commands in each log')
  assert.equal(command.a?.number, 41)
})

test('diffLogs() tells a boot that ended early', async () => {
  const differences = await diffOf(bootFile('first'), bootFile('loader-refused'))
  const loader = differences.find(({ register }) => register === 'PCR 4')
  assert.equal(loader?.kind, 'removed')
  assert.equal(loader.b, null)
  assert.match(loader.cause, /^B has nothing more here, A goes on with "grub: /)
  const back = (await diffOf(bootFile('loader-refused'), bootFile('first'))).find(
    ({ register }) => register === 'PCR 4',
  )
  assert.equal(back?.kind, 'added')
  assert.match(back.cause, /^A has nothing more here/)
})

test('diffLogs() tells Secure Boot that was switched off', async () => {
  const [difference, ...more] = await diffOf(
    fakeLog(goodBoot()),
    fakeLog(goodBoot(Uint8Array.of(0))),
  )
  assert.deepEqual(more, [])
  assert.equal(difference?.register, 'PCR 7')
  assert.equal(difference.cause, 'A: Secure Boot is on; B: Secure Boot is off')
})

test('diffLogs() tells additions, removals, another order and another locality', async () => {
  const text = (word: string) => fakeEvent(8, EVENT_TYPE.ipl, toUtf8(`grub_cmd: ${word}`))
  const [one, two, three] = [text('one'), text('two'), text('three')]
  const kindOf = async (a: Parameters<typeof fakeLog>[0], b: Parameters<typeof fakeLog>[0]) => {
    const [difference] = await diffOf(
      fakeLog([...goodBoot(), ...a]),
      fakeLog([...goodBoot(), ...b]),
    )
    return [difference?.kind, difference?.more, difference?.cause]
  }
  assert.deepEqual(await kindOf([one, three], [one, two, three]), [
    'added',
    0,
    'only B has "grub command: two" here: the boot loader ran other commands than before',
  ])
  assert.deepEqual((await kindOf([one, two, three], [one, three])).slice(0, 2), ['removed', 0])
  assert.deepEqual(await kindOf([one, two], [two, one]), [
    'reordered',
    0,
    'the same events in another order: A has "grub command: one" first, B "grub command: two"',
  ])
  const locality = fakeEvent(0, EVENT_TYPE.noAction, fromHex('537461727475704c6f63616c6974790003'))
  const [start] = await diffOf(fakeLog(goodBoot()), fakeLog([locality, ...goodBoot()]))
  assert.deepEqual([start?.register, start?.kind, start?.more], ['PCR 0', 'start', 0])
})

test('diffLogs() refuses logs of two banks', async () => {
  const one = await explainLog(bootFile('first'))
  const other = await explainLog(bootFile('first'), 'sha384')
  assert.throws(() => diffLogs(one, other), RangeError)
})

test('descriptions are one line without control characters', async () => {
  const hostile = fakeEvent(8, EVENT_TYPE.ipl, toUtf8('grub_cmd: a\n\tb\u001B[2Jc'))
  const { events } = await explainLog(fakeLog([...goodBoot(), hostile]))
  assert.equal(events.at(-1)?.description, 'grub command: a b…')
})

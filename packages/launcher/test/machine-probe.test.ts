/** The machine of a TD under emulation: a real QEMU, real firmware, and the program that reads what firmware measures. */
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import { isCode } from '@cloister/protocol/testing'
import { toHex } from '@cloister/verifier/bytes/hex'
import { measuredSmbios } from '@cloister/verifier/formats/smbios'
import {
  predictMachineEvents,
  predictRtmr0,
  type MachineRecord,
} from '@cloister/verifier/tdx/machine-events'
import { findProgram } from '../src/find-program.ts'
import { probeMachine } from '../src/machine-probe/probe-machine.ts'

/** Of the package `ovmf`: with the metadata of TDX firmware. */
const FIRMWARE = '/usr/share/ovmf/OVMF.fd'
const qemu = await findProgram('qemu-system-x86_64')
const options = {
  timeout: 300_000,
  skip:
    qemu === undefined ? 'no qemu-system-x86_64' : existsSync(FIRMWARE) ? false : `no ${FIRMWARE}`,
}

test('probeMachine() reads a machine as its firmware leaves it', options, async () => {
  const probe = (memoryMiB: number) =>
    probeMachine(qemu ?? '', { firmware: FIRMWARE, cpus: 2, memoryMiB })
  const record = await probe(256)
  const file = (name: string) => Buffer.from(record.fwCfg.get(name) ?? []).toString('latin1')
  for (const table of ['DSDT', 'FACP', 'APIC', 'MCFG'])
    assert.ok(file('etc/acpi/tables').includes(table), `${table}: PCI was not set up`)
  assert.equal(file('bootorder'), '/rom@genroms/linuxboot_dma.bin\0')
  assert.deepEqual([...record.bootMenu], [0, 0])
  assert.ok(measuredSmbios(record.smbios ?? new Uint8Array()).length > 100)
  assert.ok(record.variables.has('BootOrder-8be4df61-93ca-11d2-aa0d-00e098032b8c'))

  const firmware = await readFile(FIRMWARE)
  const events = async (known: MachineRecord, memoryMiB: number) =>
    (await predictMachineEvents({ firmware, memoryMiB, record: known })).map(
      ({ event, digest }) => [event, digest && toHex(digest)] as const,
    )
  const first = await events(record, 256)
  assert.ok(first.every(([, digest]) => digest !== undefined))
  assert.deepEqual(await events(await probe(256), 256), first)
  const larger = await events(await probe(512), 512)
  const changed = first.filter(([, digest], index) => larger[index]?.[1] !== digest)
  assert.deepEqual(
    changed.map(([event]) => event),
    ['TD HOB', 'etc/acpi/tables', 'SMBIOS'],
  )
  const whole = await predictMachineEvents({ firmware, memoryMiB: 256, record })
  assert.equal((await predictRtmr0(whole))?.length, 48)
})

test('probeMachine() says what QEMU did not like', options, async () => {
  const machine = { firmware: import.meta.filename, cpus: 1, memoryMiB: 256 }
  await assert.rejects(probeMachine(qemu ?? '', machine), isCode('vm.machine-probe-failed'))
})

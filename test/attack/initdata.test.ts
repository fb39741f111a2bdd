/** Attacks on the initdata, before and after the start of a guest, each with a real boot. What hostd asks of a running guest is in runtime.test.ts. */
import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, afterEach, before, describe, test } from 'node:test'
import { bootAlone, bootWorkload, endOf, startAlone } from '@cloister/cli/attacks/attack-boots'
import { BOOT_ATTACKS } from '@cloister/cli/attacks/boot-attacks'
import { runAttack } from '@cloister/cli/attacks/attack'
import { STATE_FILES } from '@cloister/launcher/vm-files'
import {
  encodeInitdata,
  encodeInitdataDisk,
  initdataDigest,
  initdataOf,
} from '@cloister/protocol/initdata'
import type { WorkloadInput } from '@cloister/protocol/workload'
import { openAttackField, type AttackField } from './support/attack-field.ts'
import { findQemu } from './support/recording-qemu.ts'

const ZERO = new Uint8Array(32)

describe(
  'another initdata than the owner wrote',
  {
    skip: await findQemu(),
    timeout: 900_000,
  },
  () => {
    let field: AttackField
    before(async () => {
      field = await openAttackField()
    })
    afterEach(async () => {
      await field.assertSilent()
    })
    after(async () => {
      await field[Symbol.asyncDispose]()
    })

    /** What the host would rather run: the same secrets, and a program that prints them. */
    const hostsOwn = () => {
      const { container } = field.document
      const workload: WorkloadInput = {
        ...field.document,
        container: { ...container, args: ['sh', '-c', 'cat /run/secrets/*'] },
        hostPolicy: { readStdout: true, exec: true },
      }
      return encodeInitdata(initdataOf(workload))
    }

    test("the host's own, honestly measured, gets no secret", async () => {
      const boot = { name: field.workload, initdata: hostsOwn(), guestImage: 'base' }
      assert.deepEqual(await bootWorkload(field, boot), {
        code: 'release.workload-unregistered',
        by: 'broker',
      })
    })

    for (const attack of BOOT_ATTACKS.filter(({ name }) => name.startsWith('initdata-')))
      test(`${attack.name}: ${attack.story}`, async () => {
        const { refused, code } = await runAttack(attack, field)
        assert.ok(refused, `ended with ${code}`)
      })

    test('the right one under zero HOST_DATA is refused', async () => {
      const initdataDisk = encodeInitdataDisk(field.initdata)
      assert.deepEqual(await bootAlone(field, { hostData: ZERO, initdataDisk }), {
        code: 'initdata.unmeasured',
        by: 'guest',
      })
    })

    test('one that is exchanged after the start is refused', async () => {
      const honest = encodeInitdataDisk(field.initdata)
      const other = encodeInitdataDisk(hostsOwn())
      // The launch is over when this returns; the guest has not come to its initdata for seconds yet.
      await using vm = await startAlone(field, {
        hostData: initdataDigest(field.initdata),
        initdataDisk: padded(honest, Math.max(honest.length, other.length)),
      })
      assert.deepEqual(vm.stages, [])
      const disk = join(vm.state.stateDirectory, STATE_FILES.initdata)
      await writeFile(disk, padded(other, (await readFile(disk)).length), { flag: 'r+' })
      assert.deepEqual(await endOf(vm, field.signal), { code: 'initdata.mismatch', by: 'guest' })
    })
  },
)

/** A disk may be longer than what stands on it; zeros follow. */
function padded(disk: Uint8Array, length: number): Uint8Array {
  const bytes = new Uint8Array(length)
  bytes.set(disk)
  return bytes
}

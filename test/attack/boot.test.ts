/** Attacks on what a guest is booted from, each with a real boot: the guest or the broker must refuse, and the host must see no canary. */
import assert from 'node:assert/strict'
import { copyFile, open } from 'node:fs/promises'
import { join } from 'node:path'
import { after, afterEach, before, describe, test } from 'node:test'
import { runAttack } from '@cloister/cli/attacks/attack'
import {
  bootAlone,
  bootWorkload,
  startAlone,
  withChangedImage,
  type ImageChange,
} from '@cloister/cli/attacks/attack-boots'
import { BOOT_ATTACKS } from '@cloister/cli/attacks/boot-attacks'
import type { Vm } from '@cloister/launcher/vm-spec'
import type { StageName } from '@cloister/protocol/guest-names'
import { encodeInitdataDisk, initdataDigest } from '@cloister/protocol/initdata'
import { openAttackField, type AttackField } from './support/attack-field.ts'
import { findQemu } from './support/recording-qemu.ts'

const BLOCK_BYTES = 4096

describe('another guest than the owner knows', { skip: await findQemu(), timeout: 900_000 }, () => {
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

  const launch = () => ({
    hostData: initdataDigest(field.initdata),
    initdataDisk: encodeInitdataDisk(field.initdata),
  })

  /** Everything is as the owner registered it, but for the guest image. */
  async function bootChanged(change: ImageChange) {
    return await withChangedImage(
      field,
      change,
      async (guestImage) =>
        await bootWorkload(field, { name: field.workload, initdata: field.initdata, guestImage }),
    )
  }

  const changes = {
    'another kernel': { append: { file: 'kernel', bytes: Buffer.alloc(16) } },
    // An archive of its own after ours, as the kernel takes them: its files would replace ours.
    'another initrd': { append: { file: 'initrd', bytes: Buffer.alloc(512) } },
  } satisfies Record<string, ImageChange>
  for (const [name, change] of Object.entries(changes))
    test(`${name} gets no secret`, async () => {
      assert.deepEqual(await bootChanged(change), {
        code: 'release.measurement-unknown',
        by: 'broker',
      })
    })

  for (const attack of BOOT_ATTACKS.filter(({ name }) => name === 'command-line-changed'))
    test(`of which quickstart shows: ${attack.story}`, async () => {
      const { refused, code } = await runAttack(attack, field)
      assert.ok(refused, `it ended with ${code}`)
    })

  test('another root file system is not mounted', async () => {
    const root = await copyOfRoot()
    await flipBlocks(root, 0, field.guestImage.manifest.root.verity.dataBlocks)
    await using vm = await startAlone(field, {
      ...launch(),
      boot: { ...field.guestImage.paths, root, firmware: field.guestImage.paths.snpFirmware! },
    })
    const { reason, lastStage } = await vm.exited
    assert.equal(reason, 'guest-panic')
    assert.ok(lastStage === 'verity' || lastStage === 'modules', `it came to ${lastStage}`)
  })

  test('a block of the root that is flipped while the guest runs ends it', async () => {
    const root = await copyOfRoot()
    await using vm = await startAlone(field, {
      ...launch(),
      boot: { ...field.guestImage.paths, root, firmware: field.guestImage.paths.snpFirmware! },
    })
    await untilStage(vm, 'agent')
    await flipBlocks(root, 0, field.guestImage.manifest.root.verity.dataBlocks)
    assert.equal((await vm.exited).reason, 'guest-panic')
  })

  test("a second port of the agent's name stops the boot", async () => {
    // Debian's QEMU refuses the very same name, which a hostile one would not; a blank at the end is not part of a name.
    await field.qemu.lie(
      ...'-device virtio-serial-pci,id=spy -chardev null,id=spyport -device'.split(' '),
      'virtserialport,bus=spy.0,chardev=spyport,name=cloister.agent ',
    )
    const { code } = await bootAlone(field, launch())
    await field.qemu.lie()
    assert.equal(code, 'guest-boot.port-duplicate')
  })

  async function copyOfRoot(): Promise<string> {
    const copy = join(field.directories.home, 'root.img')
    await copyFile(field.guestImage.paths.root, copy)
    return copy
  }
})

/** Flips one bit in each of these blocks, in place. */
async function flipBlocks(file: string, first: number, count: number): Promise<void> {
  await using handle = await open(file, 'r+')
  const content = Buffer.alloc(count * BLOCK_BYTES)
  await handle.read(content, 0, content.length, first * BLOCK_BYTES)
  for (let offset = 0; offset < content.length; offset += BLOCK_BYTES) content[offset]! ^= 1
  await handle.write(content, 0, content.length, first * BLOCK_BYTES)
}

async function untilStage(vm: Vm, name: StageName): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const look = () => {
    if (vm.stages.some((stage) => stage.name === name)) resolve()
  }
  const stop = vm.onStage(look)
  look()
  void vm.exited.then(({ reason }) => reject(new Error(`it ended before ${name}: ${reason}`)))
  await promise.finally(stop)
}

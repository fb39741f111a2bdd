/**
 * A direct boot under SEV: firmware, kernel, initrd and command line that the owner has, so that the firmware's measurement covers them. What is measured
 * is kept at the owner's side, in `owner/vms/<name>/sev/`, for hostd's copies may be anything, and so may what it says of tier and vCPUs.
 */
import { createHash } from 'node:crypto'
import { copyFile, mkdir, readFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { SEV_POLICIES } from '@cloister/launcher/drivers/sev'
import { DEFAULT_VCPU_TYPE } from '@cloister/launcher/vm-spec'
import type { Directories } from '@cloister/protocol/directories'
import { CloisterError } from '@cloister/protocol/error'
import type { DefineVmRequestInput } from '@cloister/protocol/hostd-vm-api'
import { replaceFile } from '@cloister/protocol/replace-file'
import { ByteReader } from '@cloister/verifier/bytes/reader'
import { fromHex, toHex } from '@cloister/verifier/bytes/hex'
import { OVMF_GUID, parseOvmf } from '@cloister/verifier/formats/ovmf'
import type { KernelHashes } from '@cloister/verifier/launch/kernel-hashes'
import {
  predictSevEsLaunchDigest,
  predictSevLaunchDigest,
} from '@cloister/verifier/launch/sev-digest'
import { z } from 'zod'
import { readInput } from '../../read-input.ts'

const MAX_BOOT_FILE_BYTES = 512 << 20
const Sha256Hex = z.string().regex(/^[0-9a-f]{64}$/)

const KeptSchema = z.strictObject({
  version: z.literal(1),
  tee: z.enum(['sev', 'sev-es']),
  cpus: z.int().min(1).max(4096),
  kernelSha256: Sha256Hex,
  initrdSha256: Sha256Hex,
  commandLine: z.string(),
})

type SevTee = keyof typeof SEV_POLICIES

export interface DirectFiles {
  readonly kernel: string
  readonly initrd: string
  readonly commandLine: string
}

/** Of one VM, as its owner has it. */
export interface DirectBoot {
  readonly tee: SevTee
  readonly cpus: number
  readonly request: NonNullable<DefineVmRequestInput['direct']>
  readonly hashes: Required<KernelHashes>
}

/**
 * @param shape.tee - `sev` or `sev-es`
 * @param firmware - absolute path
 * @throws CloisterError `cli.file-unreadable`
 */
export async function readDirectBoot(
  files: DirectFiles,
  { tee, cpus }: { readonly tee: string; readonly cpus: number },
  firmware: string,
): Promise<DirectBoot> {
  const { commandLine } = files
  const sha256 = async (file: string) =>
    createHash('sha256')
      .update(await readInput(file, MAX_BOOT_FILE_BYTES))
      .digest()
  return {
    tee: tee === 'sev' ? 'sev' : 'sev-es',
    cpus,
    request: {
      firmware,
      kernel: resolve(files.kernel),
      initrd: resolve(files.initrd),
      commandLine,
    },
    hashes: {
      kernelSha256: await sha256(files.kernel),
      initrdSha256: await sha256(files.initrd),
      commandLine,
    },
  }
}

type Owner = Pick<Directories, 'owner'>

export async function keepDirectBoot(
  directories: Owner,
  name: string,
  { tee, cpus, request, hashes }: DirectBoot,
): Promise<void> {
  const folder = folderOf(directories, name)
  await mkdir(folder, { recursive: true, mode: 0o700 })
  await copyFile(request.firmware, join(folder, 'firmware.fd'))
  await writeKept(folder, {
    version: 1,
    tee,
    cpus,
    kernelSha256: toHex(hashes.kernelSha256),
    initrdSha256: toHex(hashes.initrdSha256),
    commandLine: hashes.commandLine,
  })
}

/** What a launch of the VM must come to. */
export interface ExpectedLaunch {
  readonly policy: number
  /** 32 bytes. */
  readonly launchDigest: Uint8Array
  /** Room for secrets in the guest. */
  readonly secretAreaBytes: number
}

/** @throws CloisterError `vm.combination-unfit` for a VM of which nothing is kept here */
export async function expectedLaunch(directories: Owner, name: string): Promise<ExpectedLaunch> {
  const folder = folderOf(directories, name)
  const kept = await readKept(folder)
  if (kept === undefined)
    throw new CloisterError('vm.combination-unfit', {
      received: `a launch secret for ${name}`,
      expected: 'a VM that was made here with --tee sev or sev-es and --kernel',
      where: folder,
    })
  const { tee, cpus, commandLine } = kept
  const firmware = await readFile(join(folder, 'firmware.fd'))
  const kernelHashes: KernelHashes = {
    kernelSha256: fromHex(kept.kernelSha256),
    initrdSha256: fromHex(kept.initrdSha256),
    commandLine,
  }
  const launch = { firmware, kernelHashes }
  const launchDigest =
    tee === 'sev'
      ? await predictSevLaunchDigest(launch)
      : await predictSevEsLaunchDigest({ ...launch, vcpuType: DEFAULT_VCPU_TYPE, vcpus: cpus })
  return { policy: SEV_POLICIES[tee], launchDigest, secretAreaBytes: secretArea(firmware) }
}

/** After a resize by the owner; nothing for a VM of which nothing is kept. */
export async function keepCpus(directories: Owner, name: string, cpus: number): Promise<void> {
  const folder = folderOf(directories, name)
  const kept = await readKept(folder)
  if (kept !== undefined) await writeKept(folder, { ...kept, cpus })
}

type Kept = z.infer<typeof KeptSchema>

async function readKept(folder: string): Promise<Kept | undefined> {
  try {
    return KeptSchema.parse(JSON.parse(await readFile(join(folder, 'launch.json'), 'utf8')))
  } catch {
    return undefined
  }
}

async function writeKept(folder: string, kept: Kept): Promise<void> {
  await replaceFile(join(folder, 'launch.json'), `${JSON.stringify(kept)}\n`)
}

/** Address u32, size u32; zero without one. */
function secretArea(firmware: Uint8Array): number {
  const entry = parseOvmf(firmware).table.get(OVMF_GUID.launchSecret)
  if (entry === undefined) return 0
  const reader = new ByteReader('OVMF launch secret', entry)
  reader.u32le('address')
  return reader.u32le('size')
}

function folderOf({ owner }: Owner, name: string): string {
  return join(owner, 'vms', name, 'sev')
}

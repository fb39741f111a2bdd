/** Files of a guest image as launch measurement takes them. */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { pipeline } from 'node:stream/promises'
import { CloisterError } from '@cloister/protocol/error'
import { FormatError } from '@cloister/verifier/bytes/format-error'
import type { KernelHashes } from '@cloister/verifier/launch/kernel-hashes'
import { isVcpuType, type VcpuType } from '@cloister/verifier/launch/vcpu-types'
import { bootFiles } from '../boot-files.ts'
import { readError } from '../vm-files.ts'
import { DEFAULT_VCPU_TYPE, type VmSpec } from '../vm-spec.ts'

/** @throws CloisterError `tee.firmware-missing`, `vm.file-missing`, `vm.file-unreadable` */
export function readFirmware(path: string | undefined): Promise<Uint8Array> {
  if (path === undefined) return Promise.reject(new CloisterError('tee.firmware-missing'))
  return readBootFile(path)
}

/** @throws CloisterError `vm.file-missing`, `vm.file-unreadable` */
export async function readBootFile(path: string): Promise<Uint8Array> {
  try {
    return await readFile(path)
  } catch (error) {
    throw readError(error, path)
  }
}

/** @throws CloisterError `vm.file-missing`, `vm.file-unreadable` */
export async function hashKernel(spec: VmSpec): Promise<KernelHashes> {
  const boot = bootFiles(spec)
  const [kernelSha256, initrdSha256] = await Promise.all([
    hashFile(boot.kernel, 'sha256'),
    hashFile(boot.initrd, 'sha256'),
  ])
  return { kernelSha256, initrdSha256, commandLine: spec.commandLine }
}

/** @throws CloisterError `vm.file-missing`, `vm.file-unreadable` */
export async function hashFile(path: string, algorithm: 'sha256' | 'sha384'): Promise<Uint8Array> {
  const hash = createHash(algorithm)
  try {
    await pipeline(createReadStream(path, { highWaterMark: 1 << 20 }), hash)
  } catch (error) {
    throw readError(error, path)
  }
  return hash.digest()
}

/** @throws CloisterError `vm.spec-invalid` */
export function vcpuTypeOf({ vcpuType = DEFAULT_VCPU_TYPE }: VmSpec): VcpuType {
  if (isVcpuType(vcpuType)) return vcpuType
  throw new CloisterError('vm.spec-invalid', { where: 'vcpuType', received: vcpuType })
}

/** Gives what the verifier says of unfit firmware its code: FormatError, no tables; RangeError, no room for the hashes. */
export function firmwareError(error: unknown): unknown {
  if (!(error instanceof FormatError || error instanceof RangeError)) return error
  return new CloisterError('tee.firmware-unfit', { received: error.message, cause: error })
}

/**
 * The guest image's manifest: what went in, what came out, and what to expect in evidence (Reference Values). It stands as
 * `manifest.json` beside the files it names. Owners register it at their broker; hosts only carry it.
 */
import { z } from 'zod'

const HexSha256 = z.string().regex(/^[0-9a-f]{64}$/)
const HexSha384 = z.string().regex(/^[0-9a-f]{96}$/)

const FileSchema = z.strictObject({
  /** A plain name: the file stands beside the manifest. */
  file: z.string().regex(/^[A-Za-z0-9][\w.-]*$/),
  sha256: HexSha256,
  size: z.int(),
})

/** Registers of a TD that boots the image's unified kernel, 96 hex digits each. RTMR0 is of the machine, not of the image. */
const TdxRegistersSchema = z.strictObject({
  mrTd: HexSha384,
  rtmr1: HexSha384,
  rtmr2: HexSha384,
})
export type TdxRegisters = z.infer<typeof TdxRegistersSchema>

/** vCPU type (QEMU name) to vCPU count (decimal text) to launch digest, 96 hex digits. */
const LaunchDigestsSchema = z.record(z.string(), z.record(z.string(), HexSha384))

export const GuestImageManifestSchema = z.strictObject({
  version: z.literal(1),
  name: z.string().regex(/^[a-z0-9][a-z0-9.-]{0,62}$/),
  /** Rises with every change of content that matters; release policies demand a minimum. */
  imageVersion: z.int().min(1),
  /** The build's fixed time, seconds since 1970: the guest's lower bound for the clock. */
  epoch: z.int(),
  architecture: z.enum(['x86_64']),
  kernel: FileSchema.extend({ release: z.string() }),
  initrd: FileSchema,
  root: FileSchema.extend({
    verity: z.strictObject({
      /** SHA-256 root hash, hex. */
      rootHash: HexSha256,
      salt: z.string().regex(/^[0-9a-f]*$/),
      /** Data blocks of 4096 bytes; the hash tree follows at `hashOffset` bytes in the same file, without a superblock. */
      dataBlocks: z.int(),
      hashOffset: z.int(),
    }),
  }),
  firmware: z.strictObject({
    /** The AmdSev build of OVMF. Absent in an image built without it: then no hardware digests are known. */
    snp: FileSchema.extend({ package: z.string(), packageVersion: z.string() }).optional(),
    /** The IntelTdx build of OVMF. Absent as above. */
    tdx: FileSchema.extend({ package: z.string(), packageVersion: z.string() }).optional(),
  }),
  /** systemd's EFI stub, for unified kernels of boot bundles. Absent: none can be made from this image. */
  stub: FileSchema.optional(),
  /** Kernel, initrd and command line of mode `hardware` as one EFI program, which TDX guests boot. Absent: the image is not for TDX. */
  unifiedKernel: FileSchema.optional(),
  /** The exact `-append` text for each attester mode. */
  commandLines: z.strictObject({
    hardware: z.string(),
    simulated: z.string(),
    probe: z.string(),
    debug: z.string(),
  }),
  /** Launch digests by attester mode; `hardware` under the vendor's anchors only, `simulated` and `debug` never there. */
  expected: z.strictObject({
    snp: z.strictObject({
      hardware: LaunchDigestsSchema,
      simulated: LaunchDigestsSchema,
      debug: LaunchDigestsSchema,
    }),
    /** Under Intel's anchors. Absent: the image is not for TDX, and nothing matches there. */
    tdx: z.strictObject({ hardware: TdxRegistersSchema }).optional(),
  }),
  inputs: z.array(
    z.strictObject({
      name: z.string(),
      version: z.string(),
      sha256: HexSha256,
      origin: z.string(),
    }),
  ),
})
export type GuestImageManifest = z.infer<typeof GuestImageManifestSchema>

/** vCPU types (QEMU names) and counts for which manifests hold launch digests. */
export const MEASURED_VCPU_TYPES = ['EPYC-v4', 'EPYC-Milan-v2', 'EPYC-Genoa'] as const
export const MEASURED_VCPU_COUNTS = [1, 2, 4, 8] as const

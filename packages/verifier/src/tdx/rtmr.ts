/** RTMRs: registers extended by event digests, RTMR = SHA-384(RTMR ‖ digest), and the digests that OVMF and Linux make. */
import { runtimeCrypto } from '#crypto'
import { concatBytes } from '../bytes/concat.ts'
import { toUtf8 } from '../bytes/text.ts'
import { guidToBytes } from '../formats/guid.ts'

const DIGEST = 48

/** Firmware events of a direct or boot-manager start whose data is fixed text. */
export const BOOT_ACTION = {
  callingApplication: 'Calling EFI Application from Boot Option',
  exitBootServices: 'Exit Boot Services Invocation',
  exitBootServicesReturned: 'Exit Boot Services Returned with Success',
} as const

export const EFI_GLOBAL_VARIABLE = '8be4df61-93ca-11d2-aa0d-00e098032b8c'
export const EFI_IMAGE_SECURITY_DATABASE = 'd719b2cb-3d3a-4596-a3bc-dad00e67656f'

/** The register after one more event. @param digest - 48 bytes. @throws RangeError */
export async function extendRtmr(register: Uint8Array, digest: Uint8Array): Promise<Uint8Array> {
  if (digest.length !== DIGEST) throw new RangeError(`an event digest has 48 bytes`)
  return runtimeCrypto.digest('SHA-384', concatBytes(register, digest))
}

/** The register after these events, from zero. @param digests - 48 bytes each, in order. @throws RangeError */
export async function replayRtmr(digests: readonly Uint8Array[]): Promise<Uint8Array> {
  let register: Uint8Array = new Uint8Array(DIGEST)
  for (const digest of digests) register = await extendRtmr(register, digest)
  return register
}

/** Digest of an event whose data is text without NUL: see {@link BOOT_ACTION}. */
export async function actionDigest(text: string): Promise<Uint8Array> {
  return runtimeCrypto.digest('SHA-384', toUtf8(text))
}

export async function separatorDigest(): Promise<Uint8Array> {
  return runtimeCrypto.digest('SHA-384', new Uint8Array(4))
}

/** Digest of an EFI variable (UEFI_VARIABLE_DATA). @param data - empty for a variable that is absent */
export async function variableDigest(
  vendor: string,
  name: string,
  data: Uint8Array = new Uint8Array(),
): Promise<Uint8Array> {
  const lengths = new Uint8Array(16)
  const view = new DataView(lengths.buffer)
  view.setBigUint64(0, BigInt(name.length), true)
  view.setBigUint64(8, BigInt(data.length), true)
  return runtimeCrypto.digest(
    'SHA-384',
    concatBytes(guidToBytes(vendor), lengths, utf16(name), data),
  )
}

/** Digest of the command line that a Linux kernel's EFI stub was given. */
export async function loadOptionsDigest(commandLine: string): Promise<Uint8Array> {
  return runtimeCrypto.digest('SHA-384', utf16(`${commandLine}\0`))
}

/** What is measured, in words, and the digest that is extended, 48 bytes. */
export interface RtmrEvent {
  readonly what: string
  readonly digest: Uint8Array
}

/**
 * Events of RTMR2 of a Linux kernel with the EFI stub: its command line, then its initrd.
 *
 * @param commandLine - as the stub sees it; OVMF adds ` initrd=initrd` on direct boot
 * @param initrdSha384 - of the file, 48 bytes; absent without initrd
 */
export async function rtmr2Events(
  commandLine: string,
  initrdSha384?: Uint8Array,
): Promise<readonly RtmrEvent[]> {
  const line = { what: 'command line', digest: await loadOptionsDigest(commandLine) }
  return initrdSha384 === undefined ? [line] : [line, { what: 'initrd', digest: initrdSha384 }]
}

/** RTMR2 of these {@link rtmr2Events}. */
export async function predictRtmr2(
  commandLine: string,
  initrdSha384?: Uint8Array,
): Promise<Uint8Array> {
  return replayEvents(await rtmr2Events(commandLine, initrdSha384))
}

/**
 * Events of RTMR1 of one EFI application started by the firmware: on direct boot the kernel, or a unified kernel image.
 *
 * @param authenticode - SHA-384 Authenticode digest of what was loaded, 48 bytes; QEMU patches the header of a kernel it loads
 * @param inner - the same of the kernel that the application starts; absent when it starts none
 */
export async function rtmr1Events(
  authenticode: Uint8Array,
  inner?: Uint8Array,
): Promise<readonly RtmrEvent[]> {
  const action = async (text: string) => ({
    what: `firmware action: ${text}`,
    digest: await actionDigest(text),
  })
  return [
    { what: inner === undefined ? 'kernel' : 'unified kernel', digest: authenticode },
    await action(BOOT_ACTION.callingApplication),
    { what: 'the firmware ends its part', digest: await separatorDigest() },
    ...(inner === undefined ? [] : [{ what: 'kernel', digest: inner }]),
    await action(BOOT_ACTION.exitBootServices),
    await action(BOOT_ACTION.exitBootServicesReturned),
  ]
}

/** RTMR1 of these {@link rtmr1Events}. */
export async function predictRtmr1(authenticode: Uint8Array): Promise<Uint8Array> {
  return replayEvents(await rtmr1Events(authenticode))
}

/** The register after these events, from zero. */
export async function replayEvents(events: readonly RtmrEvent[]): Promise<Uint8Array> {
  return replayRtmr(events.map(({ digest }) => digest))
}

function utf16(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length * 2)
  const view = new DataView(bytes.buffer)
  for (let index = 0; index < text.length; index++)
    view.setUint16(index * 2, text.charCodeAt(index), true)
  return bytes
}

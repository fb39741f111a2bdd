/** The SNP launch digest as a chain (AMD 56860, SNP_LAUNCH_UPDATE): each page extends it by a PAGE_INFO record. */
import { runtimeCrypto } from '#crypto'

export const PAGE_SIZE = 4096
export const PAGE_TYPE = {
  normal: 1,
  vmsa: 2,
  zero: 3,
  unmeasured: 4,
  secrets: 5,
  cpuid: 6,
} as const

/** Page frame that the firmware gives to every VMSA. */
export const VMSA_GPA = 0xffff_ffff_f000n

const DIGEST = 48
const RECORD = 0x70

export class SnpPageChain {
  readonly #record = new Uint8Array(RECORD)
  readonly #view = new DataView(this.#record.buffer)

  /** @param seed - 48 bytes of an earlier chain to go on from; absent starts anew */
  constructor(seed?: Uint8Array) {
    if (seed !== undefined) this.#record.set(seed)
    this.#view.setUint16(0x60, RECORD, true)
  }

  /** 48 bytes; a copy. */
  get digest(): Uint8Array<ArrayBuffer> {
    return this.#record.slice(0, DIGEST)
  }

  /** @param contents - SHA-384 of the page for normal pages and VMSAs; absent (zero) for all others */
  async extend(type: number, gpa: bigint, contents?: Uint8Array): Promise<void> {
    if (contents === undefined) this.#record.fill(0, DIGEST, 2 * DIGEST)
    else this.#record.set(contents, DIGEST)
    this.#record[0x62] = type
    this.#view.setBigUint64(0x68, gpa, true)
    const next = runtimeCrypto.digest('SHA-384', this.#record)
    this.#record.set(next instanceof Promise ? await next : next)
  }

  /** Every page of a file, ascending from `gpa`. */
  async extendFile(gpa: bigint, file: Uint8Array): Promise<void> {
    for (let offset = 0; offset < file.length; offset += PAGE_SIZE) {
      const hash = runtimeCrypto.digest('SHA-384', file.subarray(offset, offset + PAGE_SIZE))
      const contents = hash instanceof Promise ? await hash : hash
      await this.extend(PAGE_TYPE.normal, gpa + BigInt(offset), contents)
    }
  }
}

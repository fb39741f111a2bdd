/** Tests only: an SNP guest on a fake AMD, whose every report field a test can choose. */
import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { encodeInitdata, initdataDigest, initdataOf } from '@cloister/protocol/initdata'
import { TeePublicKeySchema, type TeePublicKey } from '@cloister/protocol/kbs'
import type { WorkloadInput } from '@cloister/protocol/workload'
import { encodeSnpEvidenceJson } from '@cloister/verifier/snp/evidence-json'
import { newSnpReport, type ReportTemplate } from '@cloister/verifier/snp/report-template'
import { signSnpReport } from '@cloister/verifier/snp/endorsement-issue'
import type { SnpReport } from '@cloister/verifier/snp/report'
import type { ProductLine } from '@cloister/verifier/snp/product'
import type { FakeAmd } from '@cloister/verifier/testing/fake-amd'

/** Chip id of the fake processors: 64 bytes, of which Turin's use 8. */
export function fakeChipId(line: ProductLine): Uint8Array {
  return new Uint8Array(64).fill(0xc1, 0, line === 'Turin' ? 8 : 64)
}

export const FAKE_TCB = { fmc: null, bootloader: 10, tee: 1, snp: 25, microcode: 72 } as const
const PROCESSORS = {
  Milan: { family: 0x19, model: 0x01, stepping: 1 },
  Genoa: { family: 0x19, model: 0x11, stepping: 1 },
  Turin: { family: 0x1a, model: 0x02, stepping: 1 },
} as const

export const FAKE_MEASUREMENT = 'ab'.repeat(48)

/** Initdata bytes of a small workload. */
export function fakeInitdata(overrides: Partial<WorkloadInput> = {}): Uint8Array {
  const digest = `sha256:${'11'.repeat(32)}`
  return encodeInitdata(
    initdataOf({
      version: 1,
      name: 'demo',
      revision: 1,
      broker: { url: 'https://broker:8443', spki: ['00'.repeat(32)] },
      image: { reference: `registry/demo@${digest}`, digest, registry: { target: 'registry' } },
      container: { id: 'demo' },
      ...overrides,
    }),
  )
}

export interface FakeGuestOptions {
  readonly amd: FakeAmd
  readonly initdata: Uint8Array
  /** Fields of the template to replace. */
  readonly template?: Partial<ReportTemplate>
  /** Fields of the finished report to replace, before it is signed. */
  readonly report?: Partial<SnpReport>
  /** DER, sent along. */
  readonly revocationLists?: readonly Uint8Array[]
  readonly keyType?: 'P-256' | 'P-521' | 'RSA'
}

export class FakeGuest {
  readonly tee: string = 'snp'
  readonly #options: FakeGuestOptions
  #certificates: readonly Uint8Array[] | undefined
  readonly privateKey: KeyObject
  readonly publicKey: TeePublicKey

  constructor(options: FakeGuestOptions) {
    this.#options = options
    const { privateKey, publicKey } = newKeyPair(options.keyType ?? 'P-256')
    this.privateKey = privateKey
    this.publicKey = publicKey
  }

  get initdata(): string {
    return Buffer.from(this.#options.initdata).toString()
  }

  /** Evidence in its KBS form over these report data. */
  evidence(reportData: Uint8Array): unknown {
    const { amd, initdata, template = {}, report = {}, revocationLists = [] } = this.#options
    const base = newSnpReport({
      processor: PROCESSORS[amd.line],
      tcb: { ...FAKE_TCB, fmc: amd.line === 'Turin' ? 1 : null },
      firmware: { major: 1, minor: 55, build: 39 },
      chipId: fakeChipId(amd.line),
      measurement: Buffer.from(FAKE_MEASUREMENT, 'hex'),
      reportData,
      hostData: initdataDigest(initdata),
      ...template,
    })
    const changed = { ...base, ...report }
    // As on a real host, the certificates are the same each time.
    this.#certificates ??= amd.evidence(changed).certificates ?? []
    return encodeSnpEvidenceJson({
      report: signSnpReport(changed, amd.leaf.signer),
      certificates: this.#certificates,
      revocationLists,
    })
  }
}

export function newKeyPair(type: 'P-256' | 'P-521' | 'RSA') {
  const pair =
    type === 'RSA'
      ? generateKeyPairSync('rsa', { modulusLength: 2048 })
      : generateKeyPairSync('ec', { namedCurve: type })
  const jwk = pair.publicKey.export({ format: 'jwk' })
  const alg = type === 'RSA' ? 'RSA-OAEP-256' : 'ECDH-ES+A256KW'
  return { privateKey: pair.privateKey, publicKey: TeePublicKeySchema.parse({ ...jwk, alg }) }
}

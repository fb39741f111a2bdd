/** Azure's Trusted Hardware Identity Management, at the metadata address of a confidential VM: the VCEK of the machine below, with its chain. */
import { FormatError } from '../bytes/format-error.ts'
import { objectOf } from '../formats/json-fields.ts'
import { parseJson } from '../formats/json-text.ts'
import { parsePem } from '../formats/pem.ts'
import { parseCertificate } from '../formats/x509-certificate.ts'
import { endorsementKind, readEndorsement } from '../snp/endorsement.ts'
import type { EndorsementClient } from './endorsement-client.ts'
import { EndorsementFetchError } from './fetch-error.ts'

export const THIM_ADDRESS = 'http://169.254.169.254'

export interface ThimOptions {
  readonly client: EndorsementClient
  /** Absent: the metadata address, which only the VM itself can reach. */
  readonly address?: string | undefined
  readonly signal?: AbortSignal | undefined
}

const FORMAT = 'THIM answer'
const DAY_MS = 86_400_000

/** VCEK, ASK, ARK in DER. The service does not say for which report, so the appraisal must. @throws EndorsementFetchError */
export async function fetchThimCertificates({
  client,
  address = THIM_ADDRESS,
  signal,
}: ThimOptions): Promise<readonly Uint8Array[]> {
  const { value } = await client.get({
    url: `${address}/metadata/THIM/amd/certification`,
    headers: { metadata: 'true' },
    maxBytes: 64 << 10,
    freshMs: DAY_MS,
    signal,
    read: (body) => {
      const json = objectOf(FORMAT, 'answer', parseJson(FORMAT, body))
      const pem = (field: string) => {
        const text = json[field]
        if (typeof text !== 'string') throw new FormatError(FORMAT, field, 0, 'not text')
        const blocks = parsePem(text)
        if (blocks.length === 0) throw new FormatError(FORMAT, field, 0, 'holds no certificate')
        return blocks.map(({ der }) => der)
      }
      const [leaf, ...others] = pem('vcekCert')
      const chain = [...others, ...pem('certificateChain')]
      const certificate = parseCertificate(leaf as Uint8Array)
      for (const der of chain) parseCertificate(der)
      if (endorsementKind(certificate) !== 'vcek')
        throw new EndorsementFetchError('fetch.content-mismatch', {
          problem: 'a certificate that is no VCEK',
        })
      readEndorsement(certificate)
      return { value: [leaf as Uint8Array, ...chain], expires: certificate.notAfter }
    },
  })
  return value
}

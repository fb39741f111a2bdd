/** Azure's Evidence: the HCL report, a quote of the vTPM over its PCRs, and what endorses the hardware's report. */
import type { TpmQuote } from '../tpm/evidence.ts'

interface AzureEvidence {
  /** Of the JSON; from 2 on the nonce stands in the user data too. */
  readonly version: 0 | 1 | 2
  readonly hclReport: Uint8Array
  readonly quote: TpmQuote
}

export interface AzSnpEvidence extends AzureEvidence {
  /** VCEK and what came with it, DER or PEM; trusted only through AMD's roots. */
  readonly certificates: readonly Uint8Array[]
}

export interface AzTdxEvidence extends AzureEvidence {
  /** The TD quote that Azure's metadata service made of the TDREPORT. */
  readonly tdQuote: Uint8Array
}

import { CloisterError } from '@cloister/protocol/error'
import { FormatError } from '@cloister/verifier/bytes/format-error'
import { textOption, type Command } from '../command.ts'
import { toPlainJson } from '../evidence/plain-json.ts'
import { EVIDENCE_BYTES, readInput } from '../read-input.ts'

interface Parsed {
  readonly tee: string
  readonly unverifiedClaims: object
}

/** In this order when the kind is not named: an SNP report has a fixed length, a quote its version and key type. */
const PARSERS: Readonly<Record<string, (bytes: Uint8Array) => Promise<Parsed>>> = {
  snp: async (bytes) => {
    const { recogniseSnpEvidence } = await import('@cloister/verifier/snp/recognise')
    const { parseSnpReport } = await import('@cloister/verifier/snp/report')
    const { snpClaims } = await import('@cloister/verifier/snp/claims')
    return {
      tee: 'snp',
      unverifiedClaims: snpClaims(parseSnpReport(recogniseSnpEvidence(bytes).report)),
    }
  },
  tdx: async (bytes) => await parseQuoteAs('tdx', bytes),
  sgx: async (bytes) => await parseQuoteAs('sgx', bytes),
  tpm: async (bytes) => {
    const { recogniseTpmEvidence } = await import('@cloister/verifier/tpm/recognise')
    const { unverifiedTpmClaims } = await import('@cloister/verifier/tpm/claims')
    return { tee: 'tpm', unverifiedClaims: unverifiedTpmClaims(recogniseTpmEvidence(bytes)) }
  },
  'az-snp': async (bytes) => {
    const { unverifiedAzSnpClaims } = await import('@cloister/verifier/azure/claims')
    return { tee: 'az-snp', unverifiedClaims: unverifiedAzSnpClaims(bytes) }
  },
  'az-tdx': async (bytes) => {
    const { unverifiedAzTdxClaims } = await import('@cloister/verifier/azure/claims')
    return { tee: 'az-tdx', unverifiedClaims: unverifiedAzTdxClaims(bytes) }
  },
  eventlog: async (bytes) => {
    const { eventLogClaims } = await import('@cloister/verifier/eventlog/claims')
    return { tee: 'eventlog', unverifiedClaims: await eventLogClaims(bytes) }
  },
  nitro: async (bytes) => {
    const { recogniseNitroDocument } = await import('@cloister/verifier/nitro/recognise')
    const { parseNitroDocument } = await import('@cloister/verifier/nitro/document')
    const { nitroClaims } = await import('@cloister/verifier/nitro/claims')
    return {
      tee: 'nitro',
      unverifiedClaims: nitroClaims(parseNitroDocument(recogniseNitroDocument(bytes))),
    }
  },
  cca: async (bytes) => {
    const { recogniseCcaToken } = await import('@cloister/verifier/cca/recognise')
    const { parseCcaToken } = await import('@cloister/verifier/cca/token')
    const { ccaClaims } = await import('@cloister/verifier/cca/claims')
    return { tee: 'cca', unverifiedClaims: ccaClaims(parseCcaToken(recogniseCcaToken(bytes))) }
  },
  nvidia: async (bytes) => {
    const { recogniseNvidiaEvidence } = await import('@cloister/verifier/nvidia/recognise')
    const { parseNvidiaReport } = await import('@cloister/verifier/nvidia/report')
    const { nvidiaDeviceClaims } = await import('@cloister/verifier/nvidia/claims')
    const devices = recogniseNvidiaEvidence(bytes).devices.map((device) =>
      nvidiaDeviceClaims(device, parseNvidiaReport(device.report)),
    )
    return { tee: 'nvidia', unverifiedClaims: { tee: 'nvidia', devices } }
  },
  se: async (bytes) => {
    const { parseSeEvidence } = await import('@cloister/verifier/se/evidence')
    const { seClaims } = await import('@cloister/verifier/se/claims')
    return { tee: 'se', unverifiedClaims: seClaims(parseSeEvidence(bytes)) }
  },
  csv: async (bytes) => {
    const { parseCsvReport } = await import('@cloister/verifier/csv/report')
    const { csvClaims } = await import('@cloister/verifier/csv/claims')
    return { tee: 'csv', unverifiedClaims: csvClaims(parseCsvReport(bytes)) }
  },
}

async function parseQuoteAs(tee: 'tdx' | 'sgx', bytes: Uint8Array): Promise<Parsed> {
  const { recogniseQuote } = await import('@cloister/verifier/dcap/recognise')
  const { parseQuote } = await import('@cloister/verifier/dcap/quote')
  const quote = parseQuote(recogniseQuote(bytes))
  const { body } = quote
  if (body.kind === 'tdx' && tee === 'tdx') {
    const { tdxClaims } = await import('@cloister/verifier/tdx/claims')
    return { tee, unverifiedClaims: tdxClaims(quote, body.report) }
  }
  if (body.kind === 'sgx' && tee === 'sgx') {
    const { sgxClaims } = await import('@cloister/verifier/sgx/claims')
    return { tee, unverifiedClaims: sgxClaims(quote, body.report) }
  }
  throw new FormatError('quote', 'tee_type', 4, `a quote of ${body.kind}`)
}

export const command: Command = {
  usage: `evidence parse FILE [--tee ${Object.keys(PARSERS).join('|')}]`,
  details: 'What the bytes say. Nobody vouches for it: `cloister evidence verify` judges.',
  options: { tee: { type: 'string', value: 'TEE', help: 'default: found by content' } },
  positionals: [1, 1],
  async run(invocation) {
    const [file = ''] = invocation.positionals
    const bytes = await readInput(file, EVIDENCE_BYTES)
    const parsed = await parse(bytes, textOption(invocation, 'tee'), file)
    const shown = toPlainJson({ ...parsed, verified: false })
    await invocation.output.object(shown, {
      name: parsed.tee,
      text: () => `${JSON.stringify(shown, null, 2)}\nunverified: nobody vouches for these claims`,
    })
  },
}

/** @throws CloisterError `evidence.malformed` */
async function parse(bytes: Uint8Array, tee: string | undefined, file: string): Promise<Parsed> {
  const parsers =
    tee === undefined
      ? Object.values(PARSERS)
      : [PARSERS[tee]].filter((parser) => parser !== undefined)
  if (parsers.length === 0)
    throw new CloisterError('cli.usage', {
      why: '--tee is unknown',
      expected: Object.keys(PARSERS).join(', '),
    })
  let failure: unknown
  for (const parser of parsers) {
    try {
      return await parser(bytes)
    } catch (error) {
      failure ??= error
    }
  }
  const reason = failure instanceof Error ? failure.message : undefined
  throw new CloisterError('evidence.malformed', {
    where: file,
    ...(reason !== undefined && {
      why:
        tee === undefined
          ? `it is no evidence of a known kind (${Object.keys(PARSERS).join(', ')}); as the first of them: ${reason}`
          : reason,
    }),
    cause: failure,
  })
}

import { CloisterError } from '@cloister/protocol/error'
import { encodeBundle, makeBundle } from '@cloister/verifier/endorsements/bundle'
import { endorsementItems } from '@cloister/verifier/endorsements/bundle-item'
import { fetchPlatformCollateral } from '@cloister/verifier/fetch/intel-pcs'
import { textOption, type Command, type Invocation } from '../command.ts'
import { FETCH_OPTIONS, fetchOptions } from '../endorsements/fetch-options.ts'
import { openEndorsementClient, withFetchErrors } from '../endorsements/open-client.ts'
import { badOption } from '../option-values.ts'
import { openBroker } from '../owner/broker-client.ts'
import { EVIDENCE_BYTES, readInput } from '../read-input.ts'

const CAS = ['platform', 'processor'] as const
const PCE_ID = '0000'

export const command: Command = {
  usage: 'intel-collateral add BUNDLE | intel-collateral add --fmspc FMSPC [--ca CA] [options]',
  details:
    "Without Intel's collateral for the platform the broker believes no TDX quote. BUNDLE is what `cloister evidence fetch --tee tdx` wrote. With --fmspc it is fetched from Intel\nnow; the FMSPC of a platform stands in the refused attestation (cloister broker audit). It lasts 30 days; a broker that runs with --fetch-endorsements\nkeeps it new.",
  options: {
    fmspc: { type: 'string', value: 'FMSPC', help: 'kind of platform, 12 hex digits' },
    ca: {
      type: 'string',
      value: CAS.join('|'),
      help: 'which of Intel\u2019s CAs issued its PCK certificate; default platform, as all TDX servers have it',
    },
    pcs: FETCH_OPTIONS.pcs,
    update: FETCH_OPTIONS.update,
  },
  positionals: [0, 1],
  async run(invocation) {
    const { directories, output, signal } = invocation
    const bundle = await bundleOf(invocation)
    const broker = openBroker(directories, signal)
    await broker.putIntelCollateral(bundle)
    const { intelCollateral } = await broker.status()
    await output.object(intelCollateral, {
      name: intelCollateral.map(({ fmspc }) => fmspc).join('\n'),
      text: () =>
        intelCollateral
          .map(
            ({ fmspc, ca, expires }) => `${fmspc} ${ca}  until ${new Date(expires).toISOString()}`,
          )
          .join('\n'),
    })
  },
}

async function bundleOf(invocation: Invocation): Promise<Uint8Array> {
  const [file] = invocation.positionals
  const fmspc = textOption(invocation, 'fmspc')?.toLowerCase()
  if ((file === undefined) === (fmspc === undefined))
    throw new CloisterError('cli.usage', {
      why: 'give a bundle, or --fmspc',
      expected: `cloister ${command.usage}`,
    })
  if (file !== undefined) return await readInput(file, EVIDENCE_BYTES)
  return await fetched(invocation, fmspc ?? '')
}

async function fetched(invocation: Invocation, fmspc: string): Promise<Uint8Array> {
  if (!/^[0-9a-f]{12}$/.test(fmspc)) throw badOption('--fmspc is malformed', '12 hex digits', fmspc)
  const name = textOption(invocation, 'ca') ?? 'platform'
  const ca = CAS.find((known) => known === name)
  if (ca === undefined) throw badOption('--ca is unknown', CAS.join(' or '), name)
  const { directories, signal } = invocation
  const { pcs } = fetchOptions(invocation)
  const client = openEndorsementClient(directories, false)
  const found = await withFetchErrors(() =>
    fetchPlatformCollateral({ tee: 'tdx', fmspc, pceId: PCE_ID, ca }, { ...pcs, client, signal }),
  )
  const subject = { fmspc, pceId: PCE_ID, ca, update: pcs?.update ?? 'standard' }
  const items = endorsementItems(found)
  return encodeBundle(makeBundle({ tee: 'tdx', subject, items, fetchedAt: client.now }))
}

/** What `verify` and `vm verify` say of a VM. */
import { checkLines } from '../check-lines.ts'
import type { Invocation } from '../command.ts'
import { FETCH_OPTIONS, fetchOptions } from '../endorsements/fetch-options.ts'
import { amdLists } from '../endorsements/amd-lists.ts'
import { intelCollateral } from '../endorsements/intel-collateral.ts'
import { escapeText } from '../escape-text.ts'
import { openHostd } from '../hostd.ts'
import { nonceOption } from '../nonce-option.ts'
import { ownerReferences } from '../owner/appraise-workload.ts'
import { openBroker } from '../owner/broker-client.ts'
import { paintTrust, trustMeaning } from '../paint-trust.ts'
import { trustExit } from '../trust-exit.ts'
import { appraiseVm } from './appraise-vm.ts'
import { BEHIND_MEANING } from './vm-claims.ts'

export const VERIFY_OPTIONS = {
  nonce: {
    type: 'string',
    value: 'HEX',
    help: '16 to 64 bytes of your own; default 32 random bytes',
  },
  online: {
    type: 'boolean',
    help: "ask AMD for the revocation list of the processor's line, or Intel for its collateral",
  },
  kds: FETCH_OPTIONS.kds,
  pcs: FETCH_OPTIONS.pcs,
} as const

/** @returns the exit code. @throws CloisterError `vm.not-found`, `vm.not-running`, `owner.broker-*` */
export async function verifyVm(name: string, invocation: Invocation): Promise<0 | 2 | 3> {
  const { directories, output, signal } = invocation
  const { painter } = output
  const broker = () => openBroker(directories, signal)
  const nonce = nonceOption(invocation)
  const verdict = await appraiseVm(name, {
    hostd: await openHostd(invocation),
    broker,
    references: () =>
      ownerReferences(directories, broker(), revocationLists(invocation), collateralOf(invocation)),
    ...(nonce !== undefined && { nonce }),
    signal,
  })
  const { trust, checks, claims, next } = verdict
  const stands = [...new Set(claims.map(({ behind }) => behind))]
  await output.object(
    { name, ...verdict },
    {
      name: trust,
      text: () =>
        [
          ...checkLines(checks, painter, invocation.verbose),
          ...(claims.length === 0 ? [] : ['']),
          ...claims.map(
            ({ claim, value, behind }) =>
              `  ${claim}  ${escapeText(value)}  ${painter.dim(`[${behind}]`)}`,
          ),
          ...stands.map((behind) => painter.dim(`  ${behind}: ${BEHIND_MEANING[behind]}`)),
          '',
          `trust: ${paintTrust(trust, painter)}  ${trustMeaning(trust)}`,
        ].join('\n'),
    },
  )
  for (const command of next) output.talk(`next: ${command}`)
  return trustExit(trust)
}

/** As `verify` takes them: AMD's own where it may be asked, else what was fetched before. */
export function revocationLists(invocation: Invocation): ReturnType<typeof amdLists> {
  const { kds = {} } = fetchOptions(invocation)
  return amdLists(invocation.directories, { ...asking(invocation), kds })
}

/** The same of Intel's collateral. */
function collateralOf(invocation: Invocation): ReturnType<typeof intelCollateral> {
  const { pcs = {} } = fetchOptions(invocation)
  return intelCollateral(invocation.directories, { ...asking(invocation), pcs })
}

function asking({ output, options, signal }: Invocation) {
  const online = options['online'] === true
  const onMissing = (reason: string) => {
    output.talk(reason)
  }
  return { online, signal, ...(online && { onMissing }) }
}

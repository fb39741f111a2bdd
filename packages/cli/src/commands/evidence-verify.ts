import { CloisterError } from '@cloister/protocol/error'
import { FormatError } from '@cloister/verifier/bytes/format-error'
import { objectOf } from '@cloister/verifier/formats/json-fields'
import { parseCompactJson } from '@cloister/verifier/formats/json-text'
import type { Appraisal } from '@cloister/verifier/result/appraisal'
import { checkLines } from '../check-lines.ts'
import { listOption, textOption, type Command, type Invocation } from '../command.ts'
import { readExpect } from '../evidence/read-expect.ts'
import { BUNDLE_TEES } from '@cloister/verifier/endorsements/bundle'
import { fetchBundle } from '@cloister/verifier/fetch/fetch-bundle'
import { FETCH_OPTIONS, fetchOptions } from '../endorsements/fetch-options.ts'
import { openEndorsementClient, withFetchErrors } from '../endorsements/open-client.ts'
import {
  addBundle,
  sortEndorsements,
  type SortedEndorsements,
} from '../evidence/sort-endorsements.ts'
import { EVIDENCE_TEES, type EvidenceTee } from '../evidence/tees.ts'
import { toPlainJson } from '../evidence/plain-json.ts'
import { EVIDENCE_BYTES, readInput } from '../read-input.ts'

export const command: Command = {
  usage: `evidence verify FILE --tee ${Object.keys(EVIDENCE_TEES).join('|')} (--expect FIELD=HEX… | --expect any) [options]`,
  details:
    'FILE is raw, hex, base64 or CoCo JSON. Endorsements are files or folders with any mix of bundles, DER, PEM, revocation lists\nand JSON; with --online those that are missing are asked from the vendor, with --cached taken from what was asked before. Exit 0 affirming or warning\n(2 for a warning with --strict), 2 refused, 3 undecided, 6 usage.\n-o json: status, reasons, tee, anchor, tcbStatus, advisories, claims (or unverifiedClaims) and checks, always all of them.',
  options: {
    tee: { type: 'string', value: 'TEE', help: Object.keys(EVIDENCE_TEES).join(', ') },
    endorsements: {
      type: 'string',
      multiple: true,
      value: 'PATH',
      help: 'bundles, certificates, revocation lists, collateral',
    },
    early: {
      type: 'string',
      multiple: true,
      value: 'PATH',
      help: "collateral of Intel's next TCB recovery, to compare with",
    },
    online: { type: 'boolean', help: 'ask the vendor for what this evidence needs' },
    cached: { type: 'boolean', help: 'the same, but only what was asked before and is in date' },
    ...FETCH_OPTIONS,
    expect: {
      type: 'string',
      multiple: true,
      value: 'FIELD=HEX',
      help: 'Reference Value; FIELD=any or any skips, and the result says so',
    },
    at: {
      type: 'string',
      value: 'TIME',
      help: 'instant at which everything must be in date; default now',
    },
    accept: {
      type: 'string',
      multiple: true,
      value: 'STATUS',
      help: 'TCB status accepted besides the current one, as a warning',
    },
    policy: { type: 'string', value: 'FILE', help: 'appraisal policy, JSON' },
    strict: { type: 'boolean', help: 'a warning is a refusal' },
  },
  positionals: [1, 1],
  async run(invocation) {
    const tee = chosenTee(invocation)
    const appraisal = await appraiseFile(tee, invocation)
    const { output } = invocation
    await output.object(toPlainJson(resultMembers(appraisal)), {
      name: appraisal.status,
      text: () =>
        [
          ...checkLines(appraisal.checks, output.painter, invocation.verbose),
          '',
          `${appraisal.status}${'reasons' in appraisal ? `: ${appraisal.reasons.join(', ')}` : ''}`,
        ].join('\n'),
    })
    return exitOf(appraisal, invocation.options['strict'] === true)
  },
}

/** The same members whatever was found, so that a script needs to look for none. */
function resultMembers(appraisal: Appraisal<unknown>): object {
  const { status, tee, tcbStatus = 'NotJudged', advisories = [], anchor = null, checks } = appraisal
  return {
    status,
    reasons: 'reasons' in appraisal ? appraisal.reasons : [],
    tee,
    anchor,
    tcbStatus,
    advisories,
    ...('claims' in appraisal
      ? { claims: appraisal.claims }
      : { unverifiedClaims: appraisal.unverifiedClaims ?? null }),
    checks,
  }
}

function exitOf({ status }: Appraisal<unknown>, strict: boolean): number {
  switch (status) {
    case 'affirming':
      return 0
    case 'warning':
      return strict ? 2 : 0
    case 'contraindicated':
      return 2
    case 'none':
      return 3
    default:
      return status satisfies never
  }
}

/** An option that a TEE cannot follow would be one that nobody notices. @throws CloisterError `cli.usage` */
function refuseWithoutStatus(tee: EvidenceTee, invocation: Invocation): void {
  const stray = ['accept', 'early'].find((name) => listOption(invocation, name).length > 0)
  if (stray === undefined || tee.hasTcbStatus === true) return
  const names = Object.entries(EVIDENCE_TEES).filter(([, { hasTcbStatus }]) => hasTcbStatus)
  throw new CloisterError('cli.usage', {
    why: `--${stray} is about a TCB status by Intel's collateral`,
    expected: `--tee ${names.map(([name]) => name).join('|')}`,
    received: textOption(invocation, 'tee') ?? '',
  })
}

async function appraiseFile(tee: EvidenceTee, invocation: Invocation): Promise<Appraisal<unknown>> {
  const [file = ''] = invocation.positionals
  const expect = readExpect(listOption(invocation, 'expect'), tee)
  const evidence = await readInput(file, EVIDENCE_BYTES)
  const early = listOption(invocation, 'early')
  refuseWithoutStatus(tee, invocation)
  const endorsements = await sortEndorsements(listOption(invocation, 'endorsements'))
  await addFetched(evidence, endorsements, invocation)
  for (const unknown of endorsements.unknown)
    invocation.output.talk(`not an endorsement: ${unknown}`)
  try {
    return await tee.appraise({
      evidence,
      endorsements,
      ...(early.length > 0 && { early: await sortEndorsements(early) }),
      expect,
      policy: await policyOf(invocation),
      accept: listOption(invocation, 'accept').flatMap((word) => word.split(',')),
      now: instant(textOption(invocation, 'at')),
    })
  } catch (cause) {
    // What the caller chose was no field, length or status that this TEE knows.
    if (cause instanceof TypeError || cause instanceof RangeError)
      throw new CloisterError('cli.usage', { why: cause.message, cause })
    throw cause
  }
}

/** What cannot be fetched is told and left out: the checks say what that means for this evidence. */
async function addFetched(
  evidence: Uint8Array,
  endorsements: SortedEndorsements,
  invocation: Invocation,
): Promise<void> {
  const { directories, options, output, signal } = invocation
  const online = options['online'] === true
  if (!online && options['cached'] !== true) return
  const name = textOption(invocation, 'tee')
  const tee = BUNDLE_TEES.find((known) => known === name)
  if (tee === undefined) {
    output.talk(`nothing is fetched for ${name}: its endorsements come with the evidence`)
    return
  }
  const services = fetchOptions(invocation)
  const client = openEndorsementClient(directories, !online)
  try {
    const bundle = await withFetchErrors(() =>
      fetchBundle(tee, evidence, { client, signal, ...services }),
    )
    addBundle(bundle, endorsements)
  } catch (error) {
    if (!(error instanceof CloisterError) || error.code === 'cli.usage') throw error
    output.talk(`not fetched: ${error.code}: ${error.message}`)
  }
}

function chosenTee(invocation: Invocation): EvidenceTee {
  const name = textOption(invocation, 'tee') ?? ''
  const tee = Object.hasOwn(EVIDENCE_TEES, name) ? EVIDENCE_TEES[name] : undefined
  if (tee !== undefined) return tee
  throw new CloisterError('cli.usage', {
    why: '--tee is missing or unknown',
    expected: Object.keys(EVIDENCE_TEES).join(', '),
    received: name.slice(0, 40),
  })
}

/** A member that stands twice, of which one reader would take the first and another the last, is no policy. */
async function policyOf(invocation: Invocation): Promise<Readonly<Record<string, unknown>>> {
  const file = textOption(invocation, 'policy')
  if (file === undefined) return {}
  try {
    return objectOf('policy', 'policy', parseCompactJson('policy', await readInput(file, 1 << 20)))
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause
    throw new CloisterError('policy.malformed', { where: file, why: cause.message, cause })
  }
}

function instant(text: string | undefined): Date {
  const time =
    text === undefined ? new Date() : new Date(/^\d+$/.test(text) ? Number(text) * 1000 : text)
  if (!Number.isNaN(time.getTime())) return time
  throw new CloisterError('cli.usage', {
    why: '--at is no time',
    expected: 'such as 2026-11-22T00:00:00Z, or seconds since 1970',
    received: String(text).slice(0, 40),
  })
}

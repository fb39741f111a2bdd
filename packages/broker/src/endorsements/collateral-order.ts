/** Which of two bundles of Intel's collateral is the later: by the number of Intel's evaluation, then by when it was issued; never by how long it lasts. */
import { equalBytes } from '@cloister/verifier/bytes/equal'
import { isLater, type DatedStatement } from '@cloister/verifier/dcap/appraise-tcb'
import { parseQeIdentity } from '@cloister/verifier/dcap/qe-identity'
import { parseTcbInfo } from '@cloister/verifier/dcap/tcb-info'
import {
  bundleEndorsements,
  encodeBundle,
  type EndorsementBundle,
} from '@cloister/verifier/endorsements/bundle'

/** The statement that bringing `fresh` in place of `known` would roll back to an earlier evaluation, in words; undefined for none. */
export function rolledBack(fresh: EndorsementBundle, known: EndorsementBundle): string | undefined {
  const given = statements(fresh)
  for (const [name, { evaluationDataNumber: before }] of statements(known)) {
    const now = given.get(name)?.evaluationDataNumber
    if (now !== undefined && now < before) return `${name} of evaluation ${now}, not ${before}`
  }
  return undefined
}

/** Whether `fresh` says something else, and nothing that was issued before what `known` says. */
export function isNewer(fresh: EndorsementBundle, known: EndorsementBundle): boolean {
  const { fetchedAt } = known
  if (equalBytes(encodeBundle({ ...fresh, fetchedAt }), encodeBundle(known))) return false
  const [given, kept] = [statements(fresh), statements(known)]
  const pairs = [...kept].map(([name, statement]) => ({ statement, other: given.get(name) }))
  if (pairs.some(({ statement, other }) => other === undefined || isLater(statement, other)))
    return false
  const isOneLater = pairs.some(({ statement, other }) => other && isLater(other, statement))
  // Of the same statements, the lists of revoked certificates decide.
  return isOneLater || fresh.expires >= known.expires
}

/** By what they are about. */
function statements(bundle: EndorsementBundle): ReadonlyMap<string, DatedStatement> {
  const { tcbInfos, qeIdentities } = bundleEndorsements(bundle)
  const named: [string, DatedStatement][] = [
    ...tcbInfos
      .map(parseTcbInfo)
      .map((info): [string, DatedStatement] => [
        `TCB info of ${info.id} ${info.fmspc} ${info.pceId}`,
        info,
      ]),
    ...qeIdentities
      .map(parseQeIdentity)
      .map((identity): [string, DatedStatement] => [`identity of ${identity.id}`, identity]),
  ]
  const latest = new Map<string, DatedStatement>()
  for (const [name, statement] of named) {
    const other = latest.get(name)
    if (other === undefined || isLater(statement, other)) latest.set(name, statement)
  }
  return latest
}

/** Checks of SNP Evidence. */
import type { Mutation } from './mutation.ts'

const test = 'test/attack/evidence.test.ts'
const ATTEST = 'packages/broker/src/kbs/attest.ts'
const APPRAISE = 'packages/broker/src/attestation/appraise-evidence.ts'
const RULES = 'packages/broker/src/release/release-rules.ts'
const GUEST = 'packages/verifier/src/snp/appraise-guest.ts'
const VERIFY = 'packages/verifier/src/snp/verify.ts'
const CHAIN = 'packages/verifier/src/snp/chain.ts'
const REVOCATION = 'packages/verifier/src/snp/revocation.ts'
const REFERENCES = 'packages/broker/src/storage/reference-values.ts'
const REPORT_DATA = 'packages/protocol/src/report-data.ts'

const CLOSED = 'reports of guests that are not closed to the host are refused'
const FOREIGN =
  "a foreign chain, AMD's names under a foreign root, and an unpinned simulated chain are refused"
const NO_LIST = 'hardware evidence without a revocation list in date is refused'

/** The edit that lets any root be AMD's. */
const anyRoot = {
  file: CHAIN,
  find: 'request.hardwareRoots.find((root) => root.fingerprint === fingerprint)',
  replace: 'request.hardwareRoots[0]',
}
const debug = {
  file: GUEST,
  find: 'allowed(guest.debugAllowed, policy.allowDebugGuest,',
  replace: 'allowed(false, true,',
}
const reportData = {
  file: APPRAISE,
  find: '      reportData: expected.reportData,\n      // Measurement',
  replace: "      reportData: 'any' as const,\n      // Measurement",
}

export const EVIDENCE_MUTATIONS: readonly Mutation[] = [
  {
    name: 'nonce-of-session',
    edits: [{ file: ATTEST, find: 'if (nonce !== session.nonce)', replace: 'if (nonce === "")' }],
    test,
    fails: 'evidence of an earlier session is refused',
    says: 'nothing was refused',
  },
  {
    name: 'report-data-relabelled',
    edits: [reportData],
    test,
    fails: 'evidence of an earlier session under the new nonce is refused',
    says: 'nothing was refused',
  },
  {
    name: 'report-data-chosen',
    edits: [reportData],
    test,
    fails: 'a report over bytes that a container or the host chose is refused',
    says: 'nothing was refused',
  },
  {
    name: 'key-in-report-data',
    edits: [
      {
        file: REPORT_DATA,
        find: "    'tee-pubkey': runtimeData.teePublicKey,\n",
        replace: '',
      },
    ],
    test,
    fails: "another guest's report, relayed with the attacker's key, is refused",
    says: 'nothing was refused',
  },
  {
    name: 'nonce-spent',
    edits: [
      {
        file: 'packages/broker/src/kbs/sessions.ts',
        find: '!this.#spent.spend(sealed.readUIntBE(0, SEALED.numberBytes))',
        replace: '!this.#spent',
      },
    ],
    test,
    fails: 'a nonce is spent by its first attestation, refused or not',
    says: 'nothing was refused',
  },
  {
    name: 'nonce-spent-at-once',
    edits: [
      {
        file: 'packages/broker/src/kbs/sessions.ts',
        find: '!this.#spent.spend(sealed.readUIntBE(0, SEALED.numberBytes))',
        replace: '!this.#spent',
      },
    ],
    test,
    fails: 'two attestations of one session at once: one counts',
    says: 'nothing was refused',
  },
  {
    name: 'further-devices',
    edits: [{ file: APPRAISE, find: "additional_evidence !== ''", replace: 'false' }],
    test,
    fails: 'evidence of further devices that nobody verifies is refused',
    says: 'nothing was refused',
  },
  {
    name: 'pinned-roots',
    edits: [anyRoot],
    test,
    fails: FOREIGN,
    says: 'snp.revocation.signature-invalid',
  },
  {
    name: 'pinned-roots-beside-simulated',
    edits: [anyRoot],
    test,
    fails: 'a chain of AMD names under a foreign root is refused beside a pinned simulated root',
    says: 'snp.endorsement.name-mismatch',
  },
  {
    name: 'pinned-simulated-root',
    edits: [
      {
        file: CHAIN,
        find: 'if (!request.simulatedRoots.includes(fingerprint)) return undefined',
        replace: '',
      },
    ],
    test,
    fails: 'another simulated processor than the pinned one is refused',
    says: 'snp.revocation.missing',
  },
  {
    name: 'anchors-of-reference-values',
    edits: [
      {
        file: REFERENCES,
        find: 'WHERE d.anchors = ? AND d.mode = ? AND',
        replace: 'WHERE ? != ? AND',
      },
      {
        file: RULES,
        find: 'image.anchors === anchors && image.mode === MODE_OF_ANCHORS[anchors]',
        replace: 'true',
      },
    ],
    test,
    fails: 'the digest of a simulated-mode guest image counts for nothing under hardware anchors',
    says: 'release.image-not-listed',
  },
  {
    name: 'mode-of-reference-values',
    edits: [
      { file: REFERENCES, find: 'if (mode !== MODE_OF_ANCHORS[anchors])', replace: 'if (false)' },
    ],
    test,
    fails: 'debug and probe digests are registered under no anchors',
    says: 'Unexpected end of JSON input',
  },
  { name: 'debug-bit', edits: [debug], test, fails: CLOSED, says: 'release.debug' },
  {
    name: 'debug-bit-twice',
    edits: [
      debug,
      {
        file: RULES,
        find: "unset('release.debug', claims.policy_debug_allowed)",
        replace: 'undefined',
      },
    ],
    test,
    fails: CLOSED,
    says: 'the secret was released',
  },
  {
    name: 'migration-agent',
    edits: [
      {
        file: GUEST,
        find: 'guest.migrationAgentAllowed,\n    policy.allowMigrationAgent,',
        replace: 'false,\n    true,',
      },
    ],
    test,
    fails: CLOSED,
    says: 'release.migration-agent',
  },
  {
    name: 'vmpl',
    edits: [{ file: GUEST, find: 'vmpl === wanted', replace: 'true' }],
    test,
    fails: CLOSED,
    says: 'release.vmpl',
  },
  {
    name: 'host-requested-report',
    edits: [{ file: VERIFY, find: 'vmpl !== VMPL_HOST', replace: 'true' }],
    test,
    fails: CLOSED,
    says: 'snp.vmpl.mismatch',
  },
  {
    name: 'masked-chip',
    edits: [
      { file: VERIFY, find: "options.allowMaskedChipId ? 'warning' : 'fail'", replace: "'pass'" },
    ],
    test,
    fails: CLOSED,
    says: 'the secret was released',
  },
  {
    name: 'masked-chip-key',
    edits: [{ file: VERIFY, find: '!keyInfo.chipKeyMasked', replace: 'true' }],
    test,
    fails: CLOSED,
    says: 'the secret was released',
  },
  {
    name: 'report-signature',
    edits: [
      {
        file: VERIFY,
        find: "checks.require('snp.signature.invalid', good,",
        replace: "checks.require('snp.signature.invalid', good || true,",
      },
    ],
    test,
    fails: 'a report whose signature is not over its bytes is refused',
    says: 'nothing was refused',
  },
  {
    name: 'revocation-list-demanded',
    edits: [
      {
        file: APPRAISE,
        find: 'requireRevocationList: !simulated',
        replace: 'requireRevocationList: false',
      },
    ],
    test,
    fails: NO_LIST,
    says: 'the secret was released',
  },
  {
    name: 'revocation-list-expired',
    edits: [
      { file: REVOCATION, find: "now < nextUpdate ? 'pass' : 'undecided'", replace: "'pass'" },
    ],
    test,
    fails: NO_LIST,
    says: 'the secret was released',
  },
  {
    name: 'revocation-list-of-the-future',
    edits: [{ file: REVOCATION, find: 'thisUpdate <= now', replace: 'true' }],
    test,
    fails: NO_LIST,
    says: 'the secret was released',
  },
  {
    name: 'revocation-list-asked',
    edits: [
      {
        file: REVOCATION,
        find: "'snp.revocation.revoked', !revoked",
        replace: "'snp.revocation.revoked', true",
      },
    ],
    test,
    fails: NO_LIST,
    says: 'the secret was released',
  },
  {
    name: 'revocation-under-hardware',
    edits: [
      { file: APPRAISE, find: "anchor.kind === 'hardware' && withoutRevocation", replace: 'false' },
    ],
    test,
    fails: 'a simulated root sent along does not spare hardware evidence its revocation list',
    says: 'nothing was refused',
  },
  {
    name: 'host-data',
    edits: [
      {
        file: APPRAISE,
        find: "hostData: expected.initdata?.hostData ?? ('any' as const)",
        replace: "hostData: 'any' as const",
      },
    ],
    test,
    fails: "the host's own initdata instead of the measured one is refused",
    says: 'nothing was refused',
  },
  {
    name: 'workload-registered',
    edits: [
      {
        file: RULES,
        find: 'registry.workload !== undefined, { received }',
        replace: 'true, { received }',
      },
    ],
    test,
    fails: 'initdata that no owner registered, none at all, or zero HOST_DATA gets no secret',
    says: 'release.workload-withdrawn',
  },
  {
    name: 'evidence-malformed',
    edits: [
      {
        file: APPRAISE,
        find: 'if (error instanceof FormatError)',
        replace: 'if (error === undefined)',
      },
    ],
    test,
    fails: 'evidence that is no evidence is refused without an exception',
    says: 'internal.bug',
  },
  {
    name: 'simulation-in-tokens',
    edits: [
      {
        file: APPRAISE,
        find: "anchors: anchor.kind === 'hardware' ? 'amd' : 'simulated',",
        replace: "anchors: 'amd',",
      },
    ],
    test,
    fails: 'a simulated token says so: claims under sample, hardware contraindicated',
    says: 'contraindicated',
  },
  {
    name: 'kinds-of-tee',
    edits: [
      {
        file: APPRAISE,
        find: "return tee === 'snp' || tee === 'tdx' || tee === 'tpm'",
        replace: 'return tee.length > 0',
      },
    ],
    test,
    fails: 'a kind of TEE that the broker cannot verify gets no challenge',
    says: 'nothing was refused',
  },
]

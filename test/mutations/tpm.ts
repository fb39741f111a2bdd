/** Checks of the attestation of VMs by their TPM, and of what it measured of their boots. */
import type { Mutation } from './mutation.ts'

const test = 'test/attack/tpm.test.ts'
const VERIFY = 'packages/verifier/src/tpm/verify.ts'
const BROKER = 'packages/broker/src/attestation/appraise-tpm.ts'
const RULES = 'packages/broker/src/release/tpm-rules.ts'
const ENROL = 'packages/broker/src/tpm/enrol.ts'
const ENROLMENTS = 'packages/broker/src/tpm/enrolments.ts'

const EACH = 'evidence that is not what it should be is refused, each for its reason'
const AT_RELEASE =
  'a PCR that the policy does not accept, and a secret that asks for a TEE: refused at release'
const RESOLVED = 'Missing expected rejection'
const nonce = {
  file: BROKER,
  find: 'reportData: expected.reportData.subarray(0, TPM_NONCE_BYTES),',
  replace: "reportData: 'any',",
}

export const TPM_MUTATIONS: readonly Mutation[] = [
  {
    name: 'tpm-nonce',
    edits: [nonce],
    test,
    fails: EACH,
    says: "+ 'accepted'",
  },
  {
    name: 'tpm-quote-replayed',
    edits: [nonce],
    test,
    fails: 'a quote serves one session: replayed, it is refused',
    says: "+ 'accepted'",
  },
  {
    name: 'tpm-quote-digest',
    edits: [
      {
        file: VERIFY,
        find: 'digest !== undefined && equalBytes(digest, attest.pcrDigest)',
        replace: 'digest !== undefined',
      },
    ],
    test,
    fails: EACH,
    says: "+ 'event-log.replay-mismatch'",
  },
  {
    name: 'tpm-quote-signature',
    edits: [
      {
        file: VERIFY,
        find: 'const signed = await isSignedByAk(message, signature, ak)',
        replace: 'const signed = (await isSignedByAk(message, signature, ak)) || true',
      },
    ],
    test,
    fails: EACH,
    says: "+ 'tpm.quote.digest-mismatch'",
  },
  {
    name: 'event-log-replayed',
    edits: [
      {
        file: 'packages/verifier/src/eventlog/appraise.ts',
        find: 'const holds = quoted !== undefined && equalBytes(quoted, value)',
        replace: 'const holds = quoted !== undefined',
      },
    ],
    test,
    fails: EACH,
    says: "+ 'accepted'",
  },
  {
    name: 'tpm-key-certified',
    edits: [
      {
        file: 'packages/verifier/src/tpm/attestation-key.ts',
        find: "asked ? 'undecided' : 'warning'",
        replace: "'warning'",
      },
    ],
    test,
    fails: EACH,
    says: 'internal.bug',
  },
  {
    name: 'tpm-initdata',
    edits: [{ file: BROKER, find: 'expected.initdata === undefined', replace: 'true' }],
    test,
    fails: EACH,
    says: "+ 'accepted'",
  },
  {
    name: 'credential-secret',
    edits: [
      {
        file: ENROLMENTS,
        find: 'answer.length === secret.length && timingSafeEqual(answer, secret)',
        replace: 'answer.length === secret.length',
      },
    ],
    test,
    fails: 'an attestation key of another TPM is not certified under this one',
    says: '+ undefined',
  },
  {
    name: 'credential-serves-once',
    edits: [
      {
        file: ENROLMENTS,
        find: ' || this.#spent.has(id)',
        replace: '',
      },
    ],
    test,
    fails: 'an enrolment takes one answer, and what another opened is worth nothing',
    says: '+ undefined',
  },
  {
    name: 'ek-root',
    edits: [
      {
        file: 'packages/broker/src/tpm/endorsement-key.ts',
        find: "if (chain === undefined || root === undefined) return 'tpm.ek.untrusted-root'",
        replace:
          "if (chain === undefined || root === undefined) return { spki: leaf.spki, fingerprint: await fingerprintOf(leaf), anchor: anchors[0]?.fingerprint ?? '' }",
      },
    ],
    test,
    fails: 'an EK certificate of a CA that the owner did not pin is worth nothing',
    says: '+ undefined',
  },
  {
    name: 'attestation-key-attributes',
    edits: [
      {
        file: ENROL,
        find: 'key !== undefined && isAttestationKey(area) &&',
        replace: 'key !== undefined &&',
      },
    ],
    test,
    fails: 'a key that signs anything, or could leave its TPM, is not certified',
    says: '+ undefined',
  },
  {
    name: 'pcrs-accepted',
    edits: [
      {
        file: RULES,
        find: 'received !== undefined && accepted.includes(received)',
        replace: 'received !== undefined',
      },
    ],
    test,
    fails: AT_RELEASE,
    says: RESOLVED,
  },
  {
    name: 'disk-keys-need-a-tee',
    edits: [
      {
        file: RULES,
        find: "policy.kind === 'tpm' && type !== DISK_KEY_TYPE",
        replace: "policy.kind === 'tpm' && type !== ''",
      },
    ],
    test,
    fails: AT_RELEASE,
    says: RESOLVED,
  },
  {
    name: 'ek-anchor-still-pinned',
    edits: [
      {
        file: RULES,
        find: "check('release.tpm.anchor', tpmAnchors.includes(received),",
        replace: "check('release.tpm.anchor', true,",
      },
    ],
    test,
    fails: 'removing the CA ends what stands under it: tokens, certificates and enrolments',
    says: RESOLVED,
  },
  {
    name: 'certificates-of-this-broker',
    edits: [
      {
        file: 'packages/verifier/src/tpm/attestation-key.ts',
        find: "checks.add('tpm.ak.untrusted-root', 'undecided',",
        replace: "checks.add('tpm.ak.untrusted-root', 'warning',",
      },
    ],
    test,
    fails: 'a certificate of another broker is none',
    says: "+ 'internal.bug'",
  },
  {
    name: 'boots-compared',
    edits: [
      {
        file: 'packages/verifier/src/eventlog/compare-boots.ts',
        find: "const status = mismatches ? 'mismatch' : statusOf",
        replace: "const status = mismatches ? 'match' : statusOf",
      },
    ],
    test: 'packages/verifier/src/eventlog/compare-boots.test.ts',
    fails: 'compareBoots() names an edited command line with PCR and both digests',
    says: "+ 'match'",
  },
  {
    name: 'boot-log-quoted',
    edits: [
      {
        file: 'packages/cli/src/vm/appraise-boot.ts',
        find: 'return quoted !== undefined && equalBytes(quoted, value)',
        replace: 'return quoted !== undefined || equalBytes(value, value)',
      },
      {
        file: 'packages/verifier/src/eventlog/appraise.ts',
        find: 'const holds = quoted !== undefined && equalBytes(quoted, value)',
        replace: 'const holds = quoted !== undefined',
      },
    ],
    test: 'packages/cli/src/vm/appraise-boot.test.ts',
    fails: 'the log of another boot than the quoted one is refused, though it matches the baseline',
    says: 'early: true',
  },
]

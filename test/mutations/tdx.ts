/** Checks of TDX Evidence. */
import type { Mutation } from './mutation.ts'

const test = 'test/attack/tdx-evidence.test.ts'
const APPRAISE = 'packages/verifier/src/tdx/appraise.ts'
const SIGNATURES = 'packages/verifier/src/dcap/signatures.ts'
const FRESHNESS = 'packages/verifier/src/dcap/freshness.ts'
const BROKER = 'packages/broker/src/attestation/appraise-tdx.ts'
const RESULT = 'packages/broker/src/attestation/attestation-result.ts'
const RULES = 'packages/broker/src/release/tdx-rules.ts'
const CHAIN = 'packages/verifier/src/dcap/chain.ts'

const AT_LAUNCH = 'what is measured at launch, field by field'
const COLLATERAL = 'no collateral, stale collateral and collateral of another signer prove nothing'
const STATUS = 'the status of the TCB is judged by the policy of this moment'
const RELEASED = 'the secret was released'

export const TDX_MUTATIONS: readonly Mutation[] = [
  {
    name: 'td-debug',
    edits: [{ file: APPRAISE, find: 'allowed(debug, policy.allowDebugTd)', replace: "'pass'" }],
    test,
    fails: AT_LAUNCH,
    says: 'release.debug',
  },
  {
    name: 'td-migratable',
    edits: [
      {
        file: APPRAISE,
        find: 'allowed(attributes.migratable, policy.allowMigratableTd)',
        replace: "'pass'",
      },
    ],
    test,
    fails: AT_LAUNCH,
    says: 'release.migration-agent',
  },
  {
    name: 'td-sept-ve',
    edits: [
      { file: APPRAISE, find: "attributes.septVeDisable ? 'pass' : septVe", replace: "'pass'" },
    ],
    test,
    fails: AT_LAUNCH,
    says: RELEASED,
  },
  {
    name: 'td-mrconfigid',
    edits: [
      {
        file: BROKER,
        find: "initdata === undefined ? 'any' : initdataField(initdata.hostData, FIELD_BYTES)",
        replace: "'any'",
      },
    ],
    test,
    fails: AT_LAUNCH,
    says: 'attestation.initdata-mismatch',
  },
  {
    name: 'td-report-data',
    edits: [
      {
        file: BROKER,
        find: "      reportData,\n      mrTd: 'any',",
        replace: "      reportData: 'any',\n      mrTd: 'any',",
      },
    ],
    test,
    fails: AT_LAUNCH,
    says: 'release.key',
  },
  {
    name: 'td-old-quote',
    edits: [
      {
        file: BROKER,
        find: "      reportData,\n      mrTd: 'any',",
        replace: "      reportData: 'any',\n      mrTd: 'any',",
      },
    ],
    test,
    fails: 'an old quote, and a quote for another key, are refused',
    says: 'nothing was refused',
  },
  {
    name: 'td-mrtd',
    edits: [
      {
        file: RESULT,
        find: 'return mrTd + rtmr1 + rtmr2',
        replace: 'return rtmr1 + rtmr2 + mrTd.slice(-0, 0)',
      },
    ],
    test,
    fails: AT_LAUNCH,
    says: RELEASED,
  },
  {
    name: 'td-rtmr1-and-2',
    edits: [
      {
        file: RESULT,
        find: 'return mrTd + rtmr1 + rtmr2',
        replace: 'return mrTd || rtmr1 || rtmr2',
      },
    ],
    test,
    fails: AT_LAUNCH,
    says: RELEASED,
  },
  {
    name: 'td-firmware-alone',
    edits: [
      {
        file: RESULT,
        find: 'return mrTd + rtmr1 + rtmr2',
        replace: 'return mrTd || rtmr1 || rtmr2',
      },
    ],
    test,
    fails: 'a measurement of the firmware alone opens nothing, under any policy',
    says: 'falsy value',
  },
  {
    name: 'td-rtmr0',
    edits: [
      {
        file: RULES,
        find: '  machineAccepted,\n  featuresAccepted,\n',
        replace: '  featuresAccepted,\n',
      },
    ],
    test,
    fails: AT_LAUNCH,
    says: RELEASED,
  },
  {
    name: 'td-rtmr0-named',
    edits: [{ file: RULES, find: "'affirming' && machineNamed", replace: "'affirming'" }],
    test,
    fails: 'a policy without RTMR0 makes a warning of any, and says which it was',
    says: 'falsy value',
  },
  {
    name: 'intel-root',
    edits: [
      {
        file: CHAIN,
        find: 'if (memo.fingerprint !== undefined) return memo.fingerprint === fingerprint',
        replace: 'if (memo.fingerprint !== undefined) return true',
      },
      {
        file: CHAIN,
        find: 'memo.fingerprint = toHex(digest)\n    return memo.fingerprint === fingerprint',
        replace: 'memo.fingerprint = toHex(digest)\n    return true',
      },
    ],
    test,
    fails: 'a quote under another root, and one whose signature does not hold, are refused',
    says: 'dcap.revocation',
  },
  {
    name: 'quote-signature',
    edits: [
      {
        file: SIGNATURES,
        find: 'return runtimeCrypto.verify(key, signed, signature)',
        replace: 'return key !== undefined && signed !== signature',
      },
    ],
    test,
    fails: 'a quote under another root, and one whose signature does not hold, are refused',
    says: RELEASED,
  },
  {
    name: 'collateral-in-date',
    edits: [
      {
        file: FRESHNESS,
        find: 'if (now.getTime() <= until.getTime())',
        replace: 'if (now.getTime() > 0)',
      },
    ],
    test,
    fails: COLLATERAL,
    says: RELEASED,
  },
  {
    name: 'pck-revoked',
    edits: [
      {
        file: FRESHNESS,
        find: "'dcap.revocation.revoked', !revoked",
        replace: "'dcap.revocation.revoked', true",
      },
    ],
    test,
    fails: COLLATERAL,
    says: RELEASED,
  },
  {
    name: 'tcb-status',
    edits: [
      {
        file: RULES,
        find: 'tcbStatuses.includes(status) && others.length === 0',
        replace: 'others.length === 0',
      },
    ],
    test,
    fails: STATUS,
    says: 'falsy value',
  },
  {
    name: 'tcb-advisories',
    edits: [
      {
        file: RULES,
        find: 'tcbStatuses.includes(status) && others.length === 0',
        replace: 'tcbStatuses.includes(status)',
      },
    ],
    test,
    fails: STATUS,
    says: 'falsy value',
  },
  {
    name: 'tcb-evaluation-number',
    edits: [{ file: RULES, find: 'number >= minimum, {', replace: 'number > 0, {' }],
    test,
    fails: STATUS,
    says: 'falsy value',
  },
  {
    name: 'td-xfam',
    edits: [
      {
        file: RULES,
        find: 'return check(code, accepted.includes(received),',
        replace: "return check(code, code !== 'release.tdx.rtmr0' || accepted.includes(received),",
      },
    ],
    test,
    fails: 'XFAM and platform are held to the policy',
    says: RELEASED,
  },
  {
    name: 'td-initdata-length',
    edits: [
      {
        file: BROKER,
        find: '/^[0-9a-f]{64}0{32}$/.test(claims.mrConfigId)',
        replace: 'claims.mrConfigId.length > 0',
      },
    ],
    test,
    fails: 'initdata that nobody registered, or none that is ours, gets nothing',
    says: 'nothing was refused',
  },
  {
    name: 'td-machine-log',
    edits: [
      {
        file: 'packages/broker/src/attestation/machine-events.ts',
        find: 'toHex(await replayRtmr(digests)) !== rtmr0',
        replace: 'false',
      },
    ],
    test: 'packages/broker/src/attestation/machine-events.test.ts',
    fails: 'machineEvents() tells nothing of any other log',
    says: 'attestation.machine-event',
  },
]

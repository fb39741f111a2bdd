/** Checks of the release of secrets, of instances, and of policies in Rego. */
import type { Mutation } from './mutation.ts'

const test = 'test/attack/release.test.ts'
const RULES = 'packages/broker/src/release/release-rules.ts'
const DECIDE = 'packages/broker/src/release/decide-release.ts'
const REGISTRY = 'packages/broker/src/storage/workload-registry.ts'
const TOKENS = 'packages/broker/src/attestation/token-signer.ts'
const SEAL = 'packages/broker/src/storage/seal.ts'
const INSTANCES = 'packages/broker/src/storage/instances.ts'
const RELEASED = 'the secret was released'
const ANSWERED = 'nothing was refused'

/** What {@link RULES} say without a check. */
const without = (find: string, replace: string) => [{ file: RULES, find, replace }]

export const RELEASE_MUTATIONS: readonly Mutation[] = [
  {
    name: 'policy-present',
    edits: [
      {
        file: DECIDE,
        find: "if (policy === undefined) return denied('release.policy-absent')",
        replace: 'if (policy === undefined) return { allow: true, checks: [] }',
      },
    ],
    test,
    fails: 'a secret without a release policy goes to nobody',
    says: '200',
  },
  {
    name: 'absent-as-forbidden',
    edits: [
      {
        file: 'packages/broker/src/kbs/release.ts',
        find: 'if (!allow || secret === undefined)',
        replace: "if (secret === undefined) throw new CloisterError('kbs.path')\n  if (!allow)",
      },
    ],
    test,
    fails: 'an absent secret and a forbidden one look the same to a guest',
    says: '1',
  },
  {
    name: 'workload-listed',
    edits: without(
      "check('release.workload-not-listed', listed,",
      "check('release.workload-not-listed', true,",
    ),
    test,
    fails: 'each workload gets only what a policy names it for',
    says: RELEASED,
  },
  {
    name: 'workload-in-force',
    edits: without(
      "workload !== undefined && workload.state !== 'withdrawn'",
      'workload !== undefined',
    ),
    test,
    fails: 'a withdrawn workload revision is refused at once, token or not',
    says: '200',
  },
  {
    name: 'workload-current',
    edits: without(
      "workload !== undefined && workload.state !== 'superseded'",
      'workload !== undefined',
    ),
    test,
    fails: 'a superseded workload revision is refused at once',
    says: '200',
  },
  {
    name: 'revisions-rise',
    edits: [
      {
        file: REGISTRY,
        find: 'if (revision <= latest || known !== undefined)',
        replace: 'if (revision === 0)',
      },
    ],
    test,
    fails: 'an older revision cannot be registered over a newer one',
    says: 'broker.workload.revision',
  },
  {
    name: 'image-in-force',
    edits: without('matching(request).filter((image) => !image.withdrawn)', 'matching(request)'),
    test,
    fails: 'a withdrawn guest image is refused at once, token or not',
    says: '200',
  },
  {
    name: 'image-version',
    edits: without('image.imageVersion >= minimumVersion', 'minimumVersion > 0'),
    test,
    fails: 'a guest image below the minimum version is refused',
    says: RELEASED,
  },
  {
    name: 'minimum-tcb',
    edits: without(
      '(actual[component] ?? 0) >= (minimum[component] ?? 0)',
      '(actual[component] ?? 0) + (minimum[component] ?? 0) >= 0',
    ),
    test,
    fails: 'a TCB below the policy is refused, and a line of processors that it does not name',
    says: RELEASED,
  },
  {
    name: 'processor-listed',
    edits: without(
      "check('release.processor', floorsFor(policy, claims).length > 0,",
      "check('release.processor', true,",
    ),
    test,
    fails: 'a TCB below the policy is refused, and a line of processors that it does not name',
    says: 'release.tcb.reported',
  },
  {
    name: 'platform-enrolled',
    edits: without("check('release.platform', listed,", "check('release.platform', true,"),
    test,
    fails: 'a chip that is not enrolled is refused where the policy demands it, until it is',
    says: RELEASED,
  },
  {
    name: 'milan-degraded',
    edits: without("claims.processor === 'Milan' && !known", 'false'),
    test,
    fails:
      'a Milan chip that is not enrolled is degraded, and refused unless the policy takes that',
    says: RELEASED,
  },
  {
    name: 'policy-of-now',
    edits: without('workload.revision >= minimumRevision', 'minimumRevision > 0'),
    test,
    fails: 'the policy of now decides, not the one at the time of the token',
    says: '200',
  },
  {
    name: 'token-signature',
    edits: [
      {
        file: TOKENS,
        find: "    if (!verify('sha256', Buffer.from(input), this.#publicKey, ecdsaToDer(signature)))\n      return undefined\n",
        replace: '    void [verify, ecdsaToDer, input]\n',
      },
    ],
    test,
    fails: 'a token with another key pair is refused',
    says: 'release.refused',
  },
  {
    name: 'token-signature-and-key',
    edits: [
      {
        file: TOKENS,
        find: "    if (!verify('sha256', Buffer.from(input), this.#publicKey, ecdsaToDer(signature)))\n      return undefined\n",
        replace: '    void [verify, ecdsaToDer, input]\n',
      },
      ...without(
        "equals('release.key', Buffer.from(carried).toString('hex'), reportData)",
        "equals('release.key', Buffer.from(carried).toString('hex'), Buffer.from(carried).toString('hex') || reportData)",
      ),
    ],
    test,
    fails: 'a token with another key pair is refused',
    says: ANSWERED,
  },
  {
    name: 'token-header',
    edits: [
      {
        file: TOKENS,
        find: 'if (!token.startsWith(`${this.#header}.`)) return undefined',
        replace: '',
      },
      {
        file: TOKENS,
        find: "    if (!verify('sha256', Buffer.from(input), this.#publicKey, ecdsaToDer(signature)))\n      return undefined\n",
        replace: '    void [verify, ecdsaToDer, input]\n',
      },
      {
        file: TOKENS,
        find: 'input.slice(this.#header.length + 1)',
        replace: "input.split('.')[1] ?? ''",
      },
    ],
    test,
    fails: 'a token of another broker is refused',
    says: ANSWERED,
  },
  {
    name: 'token-expiry',
    edits: [
      {
        file: 'packages/broker/src/attestation/issued-tokens.ts',
        find: 'result !== undefined && now < result.expiresAt ? result : undefined',
        replace: 'now > 0 ? result : undefined',
      },
    ],
    test,
    fails: 'an expired token is refused',
    says: 'release.refused',
  },
  {
    name: 'token-expiry-twice',
    edits: [
      {
        file: 'packages/broker/src/attestation/issued-tokens.ts',
        find: 'result !== undefined && now < result.expiresAt ? result : undefined',
        replace: 'now > 0 ? result : undefined',
      },
      ...without(
        "check('release.token-expired', now < attestation.expiresAt,",
        "check('release.token-expired', now > 0,",
      ),
    ],
    test,
    fails: 'an expired token is refused',
    says: ANSWERED,
  },
  {
    name: 'simulated-root-beside-real-secrets',
    edits: [
      {
        file: 'packages/broker/src/admin/routes.ts',
        find: "if (secrets.hasReal()) throw new CloisterError('broker.simulated.secrets')",
        replace: '',
      },
    ],
    test,
    fails: 'a broker that holds a real secret trusts no simulated processor',
    says: 'Unexpected end of JSON input',
  },
  {
    name: 'simulated-root-at-start',
    edits: [
      {
        file: 'packages/broker/src/start-broker.ts',
        find: 'simulatedRoots.length + trust.simulatedRoots().length > 0 && secrets.hasReal()',
        replace: 'simulatedRoots.length < 0',
      },
    ],
    test,
    fails: 'a broker that holds a real secret does not start with a simulated root',
    says: 'Missing expected rejection',
  },
  {
    name: 'real-secret-beside-simulated-root',
    edits: [
      {
        file: 'packages/broker/src/admin/secret-actions.ts',
        find: '!secret.allowSimulated && parts.trust.simulatedRoots().length > 0',
        replace: 'secret.path === ""',
      },
    ],
    test,
    fails: 'a broker with a simulated root takes no real secret',
    says: 'broker.simulated.secrets',
  },
  {
    name: 'simulated-root-still-pinned',
    edits: without(
      "registry.simulatedRoots.includes(claims.simulated_root ?? '')",
      'registry !== undefined',
    ),
    test,
    fails: 'a simulated root that is no longer pinned gets nothing, token or not',
    says: '200',
  },
  {
    name: 'anchors-of-policy',
    edits: without('pinned && policy.anchors.includes(anchors)', 'pinned'),
    test,
    fails: 'a policy for hardware refuses a simulated TEE, whatever the secret allows',
    says: RELEASED,
  },
  {
    name: 'secrets-at-rest',
    edits: [
      {
        file: SEAL,
        find: 'return Buffer.concat([iv, cipher.update(value), cipher.final(), cipher.getAuthTag()])',
        replace: 'return Buffer.concat([iv, value, cipher.final(), cipher.getAuthTag()])',
      },
      {
        file: SEAL,
        find: 'return Buffer.concat([decipher.update(sealed.subarray(IV_BYTES, end)), decipher.final()])',
        replace: 'return decipher && Buffer.from(sealed.subarray(IV_BYTES, end))',
      },
    ],
    test: 'test/attack/evidence.test.ts',
    fails: 'evidence of an earlier session is refused',
    says: 'holds a canary',
  },
  {
    name: 'secrets-out-of-the-audit',
    edits: [
      {
        file: 'packages/broker/src/admin/secret-actions.ts',
        find: "recordAction(parts, requestId, 'secret.put', secret.path)",
        replace:
          "recordAction(parts, requestId, 'secret.put', Buffer.from(secret.value).toString('base64'))",
      },
    ],
    test: 'test/attack/evidence.test.ts',
    fails: 'evidence of an earlier session is refused',
    says: 'holds a canary',
  },
  {
    name: 'secrets-out-of-answers',
    edits: [
      {
        file: 'packages/broker/src/kbs/routes.ts',
        find: "json(encryptJwe(value, attested.runtimeData['tee-pubkey']))",
        replace:
          "json({ ...encryptJwe(value, attested.runtimeData['tee-pubkey']), value: value.toString('base64') })",
      },
    ],
    test,
    fails: 'Genoa and Turin get what the policy grants them',
    says: 'holds a canary',
  },
  // --- instances
  {
    name: 'instances-counted',
    edits: [
      {
        file: INSTANCES,
        find: 'this.#isEnded(initdataDigest, name) || others.length >= instances',
        replace: 'this.#isEnded(initdataDigest, name)',
      },
    ],
    test: 'test/attack/instances.test.ts',
    fails: 'a disk copied and started a second time gets nothing while the first lives',
    says: RELEASED,
  },
  {
    name: 'instances-ended',
    edits: [
      {
        file: INSTANCES,
        find: 'this.#isEnded(initdataDigest, name) || others.length >= instances',
        replace: 'others.length >= instances',
      },
    ],
    test: 'test/attack/instances.test.ts',
    fails:
      'an instance that the owner ends gets nothing by its token and no other token, and makes room at once',
    says: 'release.instance',
  },
  {
    name: 'instance-live',
    edits: without(
      "check('release.instance', registry.isLiveInstance,",
      "check('release.instance', true,",
    ),
    test: 'test/attack/instances.test.ts',
    fails:
      'an instance that the owner ends gets nothing by its token and no other token, and makes room at once',
    says: ANSWERED,
  },
  // --- Rego
  {
    name: 'rego-asked',
    edits: without('const allow = answer?.allow === true', 'const allow = answer !== undefined'),
    test: 'test/attack/rego.test.ts',
    fails: 'another workload is refused by a policy that reads the initdata',
    says: RELEASED,
  },
  {
    name: 'rego-beside-rules',
    edits: [
      {
        file: DECIDE,
        find: "allow: checks.every(({ outcome }) => outcome === 'pass')",
        replace: "allow: checks.at(-1)?.outcome === 'pass'",
      },
    ],
    test: 'test/attack/rego.test.ts',
    fails: 'Rego that allows everything opens nothing: each attack is refused as before',
    says: RELEASED,
  },
  {
    name: 'rego-in-guest',
    edits: [
      {
        file: 'packages/agent/src/policy/initdata-policy.ts',
        find: 'return bothPolicies(builtIn, regoPolicy(source))',
        replace: 'return bothPolicies(regoPolicy(source), regoPolicy(source))',
      },
    ],
    test: 'test/attack/rego-host.test.ts',
    fails: 'a policy that allows everything opens nothing that the workload does not',
    says: 'Missing expected rejection',
  },
]

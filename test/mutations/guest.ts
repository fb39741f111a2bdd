/** Checks that the guest itself makes, where no boot is needed to see them: images, initdata, requests of the host, the broker's key. */
import type { Mutation } from './mutation.ts'

const IMAGES = 'test/attack/images.test.ts'
const AGENT = 'test/integration/agent.test.ts'
const SIGNATURES = 'packages/oci/src/verify-signatures.ts'
const POLICY = 'packages/agent/src/policy/workload-policy.ts'
const BINDING = 'packages/agent/src/initdata-binding.ts'
const ACCEPTED = 'Missing expected rejection'
const NOT_NAMED = 'what the initdata does not name is refused, with a code and nothing else'

const blobDigest = {
  file: 'packages/oci/src/digest.ts',
  find: 'if (received !== this.expected)',
  replace: "if (received === '')",
}
const manifestDigest = {
  file: 'packages/oci/src/image-source.ts',
  find: 'verifyDigest(bytes, digest, `${source.name}@${digest}`)',
  replace: '',
}
const mac = {
  file: 'packages/oci/src/layer-cipher.ts',
  find: '!timingSafeEqual(hmac.digest(), mac)',
  replace: 'timingSafeEqual(hmac.digest(), Buffer.alloc(mac.length))',
}

export const GUEST_MUTATIONS: readonly Mutation[] = [
  {
    name: 'layer-digest',
    edits: [blobDigest],
    test: IMAGES,
    fails: 'a flipped bit of a layer is refused',
    says: 'image.decryption-failed',
  },
  {
    name: 'layer-mac',
    edits: [mac],
    test: 'packages/oci/src/layer-cipher.test.ts',
    fails: 'the MAC alone refuses a flipped bit, and so does the digest of the plain layer',
    says: ACCEPTED,
  },
  {
    name: 'layer-mac-and-plain-digest',
    edits: [
      mac,
      {
        file: 'packages/oci/src/layer-cipher.ts',
        find: "digest.verify('decrypted layer', 'image.decryption-failed')",
        replace: '',
      },
    ],
    test: IMAGES,
    fails: 'a flipped bit of a layer under a manifest that fits is refused by its MAC',
    says: 'image.',
  },
  {
    name: 'signature-there',
    edits: [
      {
        file: SIGNATURES,
        find: "if (signatures.length === 0) throw new CloisterError('image.signature-missing', { where })",
        replace: '',
      },
    ],
    test: IMAGES,
    fails: 'an image without its signature is refused',
    says: 'image.signature-invalid',
  },
  {
    name: 'signature-by-key-of-policy',
    edits: [
      {
        file: SIGNATURES,
        find: 'keys.find((candidate) => verifySignature(candidate, payload, signature))',
        replace: 'keys.find((candidate) => verifySignature(candidate, payload, signature) || true)',
      },
    ],
    test: IMAGES,
    fails: "an image that carries another key's signature is refused",
    says: ACCEPTED,
  },
  {
    name: 'signature-over-this-manifest',
    edits: [
      {
        file: SIGNATURES,
        find: 'signed?.manifestDigest !== check.manifestDigest',
        replace: 'signed === undefined',
      },
    ],
    test: IMAGES,
    fails: 'the signature of an older image does not vouch for a newer one',
    says: ACCEPTED,
  },
  {
    name: 'manifest-digest',
    edits: [manifestDigest],
    test: IMAGES,
    fails: 'an older signed image under the same tag is refused',
    says: ACCEPTED,
  },
  {
    name: 'manifest-digest-of-another-layer',
    edits: [manifestDigest],
    test: IMAGES,
    fails: 'a layer of another image is refused',
    says: 'image.decryption-failed',
  },
  {
    name: 'key-id-of-another-image',
    edits: [
      {
        file: 'packages/broker/src/release/release-rules.ts',
        find: "check('release.workload-not-listed', listed,",
        replace: "check('release.workload-not-listed', true,",
      },
    ],
    test: IMAGES,
    fails: 'our layer under the key id of another image gets no key',
    says: 'image.decryption-failed',
  },
  {
    name: 'initdata-unmeasured',
    edits: [
      {
        file: BINDING,
        find: 'hostData.every((byte) => byte === 0)',
        replace: 'hostData.length === 0',
      },
    ],
    test: 'packages/agent/src/initdata-binding.test.ts',
    fails: 'zero, another digest, and a digest of the same content in other bytes are refused',
    says: 'initdata.mismatch',
  },
  {
    name: 'initdata-digest',
    edits: [
      {
        file: BINDING,
        find: 'Buffer.compare(expected, hostData) !== 0',
        replace: 'expected.length === 0',
      },
    ],
    test: 'packages/agent/src/initdata-binding.test.ts',
    fails: 'zero, another digest, and a digest of the same content in other bytes are refused',
    says: ACCEPTED,
  },
  {
    name: 'container-as-named',
    edits: [
      {
        file: POLICY,
        find: 'const difference = differenceIn(CreateContainerRequestSchema, message, expected)',
        replace: 'const difference = undefined',
      },
    ],
    test: AGENT,
    fails: NOT_NAMED,
    says: 'agent.id-reused',
  },
  {
    name: 'exec-opened',
    edits: [{ file: POLICY, find: 'hostPolicy.exec ? exec', replace: 'hostPolicy ? exec' }],
    test: AGENT,
    fails: 'exec, stdin and output stay closed unless opened; signals go through',
    says: ACCEPTED,
  },
  {
    name: 'unknown-field',
    edits: [
      {
        file: 'packages/agent/src/service/dispatch.ts',
        find: 'if (unknown !== undefined)',
        replace: "if (unknown === '')",
      },
    ],
    test: AGENT,
    fails: 'an unknown field or method is refused',
    says: 'timed out',
  },
  {
    name: 'half-frame-given-up',
    edits: [
      {
        file: 'packages/protocol/src/port-session.ts',
        find: 'if (reader.isMidFrame) reader.abandonOverrunFrame()',
        replace: '',
      },
    ],
    test: 'packages/protocol/src/port-session.test.ts',
    fails:
      'a new client gets its session after one that died in a frame longer than all that follows',
    says: 'the peer did not open the session in time',
  },
  {
    name: 'clock-corrected',
    edits: [
      {
        file: 'packages/agent/src/guest/clock.ts',
        find: '> TOLERANCE_MS)',
        replace: '> Infinity)',
      },
    ],
    test: 'packages/agent/src/guest/clock.test.ts',
    fails: 'correctClock() follows the broker when the host is ten years off, either way',
    says: '+ undefined',
  },
  {
    name: 'clock-not-before-image',
    edits: [
      { file: 'packages/agent/src/guest/clock.ts', find: ' || time < epoch * 1000', replace: '' },
    ],
    test: 'packages/agent/src/guest/clock.test.ts',
    fails: 'correctClock() leaves small differences, and refuses a time before the image',
    says: '!==',
  },
  {
    name: 'scratch-watched',
    edits: [
      {
        file: 'packages/agent/src/scratch/watch.ts',
        find: 'text.includes(TAMPERED)',
        replace: 'text.includes(TAMPERED.toLowerCase())',
      },
    ],
    test: 'packages/agent/src/scratch/watch.test.ts',
    fails: 'a block that fails its authentication ends the watch, however its line comes',
    says: 'timed out',
  },
  {
    name: 'broker-key-of-guest',
    edits: [
      {
        file: 'packages/agent/src/broker/pinned-tls.ts',
        find: 'if (!spki.includes(received))',
        replace: 'if (spki.length === 0)',
      },
    ],
    test: 'test/attack/broker-key.test.ts',
    fails: 'a guest does not speak to a broker with another key than its initdata pins',
    says: 'aborted due to timeout',
  },
  {
    name: 'broker-key-of-owner',
    edits: [
      {
        file: 'packages/cli/src/owner/pinned-connection.ts',
        find: 'received !== undefined && spki.includes(received)',
        replace: 'received !== undefined',
      },
    ],
    test: 'test/attack/broker-key.test.ts',
    fails: "the owner's commands do not speak to a broker with another key than the pinned one",
    says: 'owner.broker-pin-mismatch',
  },
  {
    name: 'disk-label-mac',
    edits: [
      {
        file: 'packages/protocol/src/sealed-disk/label.ts',
        find: 'if (!timingSafeEqual(mac, labelMac(bytes, header, macKey))) return undefined',
        replace: '',
      },
    ],
    test: 'packages/agent/src/vm/disk-slots.test.ts',
    fails:
      'readSlot() refuses a disk of another key, without a label, or with a header that was changed',
    says: ACCEPTED,
  },
  {
    name: 'seccomp-architecture',
    edits: [
      {
        file: 'packages/agent/src/container/seccomp-program.ts',
        find: 'jump(CODE.ifEqual, AUDIT_ARCH_X86_64, { jt: 1, jf: 0 })',
        replace: 'jump(CODE.ifEqual, AUDIT_ARCH_X86_64, { jt: 1, jf: 1 })',
      },
    ],
    test: 'packages/agent/src/container/seccomp.test.ts',
    fails: 'a call of 32-bit x86 ends the thread: its socketcall no filter can read',
    says: 'Expected values to be strictly equal',
  },
  {
    name: 'seccomp-other-calls',
    edits: [
      {
        file: 'packages/agent/src/container/seccomp-program.ts',
        find: 'const verdict = verdicts.get(number) ?? otherwise',
        replace: 'const verdict = verdicts.get(number) ?? ALLOW',
      },
    ],
    test: 'packages/agent/src/container/seccomp.test.ts',
    fails: 'the filter says of every call what the lists mean, whatever its first argument',
    says: 'expected: 327718',
  },
  {
    name: 'seccomp-arguments',
    edits: [
      {
        file: 'packages/agent/src/container/seccomp.ts',
        find: "clone: { test: 'has-bit-of', words: [NAMESPACE_FLAGS], holds: EPERM, otherwise: ALLOW }",
        replace: "clone: { test: 'is', words: [NAMESPACE_FLAGS], holds: EPERM, otherwise: ALLOW }",
      },
    ],
    test: 'packages/agent/src/container/seccomp.test.ts',
    fails: 'no namespace comes by clone, and threads and processes do',
    says: 'Expected values to be strictly equal',
  },
]

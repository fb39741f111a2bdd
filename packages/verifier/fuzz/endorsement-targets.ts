/** Targets of what comes from the vendors' services: bundles, NVIDIA's manifests, OCSP responses. */
import { equalBytes } from '../src/bytes/equal.ts'
import { encodeBundle, makeBundle, parseBundle } from '../src/endorsements/bundle.ts'
import { parseOcspResponse } from '../src/formats/ocsp.ts'
import { parseReferenceManifest } from '../src/nvidia/manifest.ts'
import { verifyManifests } from '../src/nvidia/verify-manifest.ts'
import { CheckList } from '../src/result/check.ts'
import type { NvidiaCheckCode } from '../src/nvidia/check-codes.ts'
import { FakeAmd } from '../src/testing/fake-amd.ts'
import { FakeNvidia, fakeManifest, fakeOcspResponse } from '../src/testing/fake-nvidia.ts'
import { appraisal, parser } from './target.ts'
import type { Target } from './target.ts'

const NOW = new Date('2026-06-01T00:00:00Z')

export async function endorsementTargets(): Promise<readonly Target[]> {
  const maker = new FakeNvidia()
  const manifest = fakeManifest(maker, '1', [{ index: 0, hashes: ['06'.repeat(48)] }])
  const responder = maker.responder(maker.root)
  const answer = { responder, nonce: new Uint8Array(32) }
  const response = await fakeOcspResponse(maker.issuer.der, maker.root, answer)
  const bundle = encodeBundle(
    makeBundle({
      tee: 'nvidia',
      subject: { manifests: 'FAKE' },
      fetchedAt: NOW,
      items: [
        { kind: 'certificate', data: new FakeAmd().ark },
        { kind: 'manifest', data: manifest },
        { kind: 'ocsp-response', data: response },
      ],
    }),
  )
  return [
    parser('endorsement bundle', [bundle], (input) => {
      const again = encodeBundle(parseBundle(input))
      if (!equalBytes(encodeBundle(parseBundle(again)), again)) throw new Error('encodes otherwise')
    }),
    parser('reference manifest', [manifest], parseReferenceManifest),
    parser('OCSP response', [response], parseOcspResponse),
    appraisal('reference manifest appraisal', [manifest], async (input) => {
      const { content } = parseReferenceManifest(manifest).signature ?? {}
      const checks = new CheckList<NvidiaCheckCode>()
      const options = { now: NOW, root: maker.fingerprint }
      for (const { manifest: found } of await verifyManifests([input], options, checks))
        if (!equalBytes(found.signature?.content ?? input, content ?? input))
          throw new Error('a changed manifest was accepted')
    }),
  ]
}

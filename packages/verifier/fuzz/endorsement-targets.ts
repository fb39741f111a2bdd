/** Targets of what comes from the vendors' services: bundles, NVIDIA's manifests, OCSP responses. */
import { equalBytes } from '../src/bytes/equal.ts'
import type { BundleItem } from '../src/endorsements/bundle-item.ts'
import { encodeBundle, makeBundle, parseBundle } from '../src/endorsements/bundle.ts'
import { parseOcspResponse } from '../src/formats/ocsp.ts'
import { parseReferenceManifest } from '../src/nvidia/manifest.ts'
import { verifyManifests } from '../src/nvidia/verify-manifest.ts'
import { CheckList } from '../src/result/check.ts'
import type { NvidiaCheckCode } from '../src/nvidia/check-codes.ts'
import { FakeAmd } from '../src/testing/fake-amd.ts'
import { FakeNvidia, fakeManifest, fakeOcspResponse } from '../src/testing/fake-nvidia.ts'
import { fromRecordedBase64, recordedBelow, same } from './corpus.ts'
import { appraisal, parser } from './target.ts'
import type { Target } from './target.ts'

const NOW = new Date('2026-06-01T00:00:00Z')

export async function endorsementTargets(): Promise<readonly Target[]> {
  const maker = new FakeNvidia()
  const manifest = fakeManifest(maker, '1', [{ index: 0, hashes: ['06'.repeat(48)] }])
  const responder = maker.responder(maker.root)
  const answer = { responder, nonce: new Uint8Array(32) }
  const response = await fakeOcspResponse(maker.issuer.der, maker.root, answer)
  const items = [
    { kind: 'certificate', data: new FakeAmd().ark },
    { kind: 'ocsp-response', data: response },
    { kind: 'manifest', data: manifest },
  ] as const
  const bundleOf = (held: readonly BundleItem[]) =>
    encodeBundle(
      makeBundle({ tee: 'nvidia', subject: { manifests: 'FAKE' }, fetchedAt: NOW, items: held }),
    )
  return [
    parser(
      'endorsement bundle',
      [bundleOf(items)],
      (input) => {
        const again = encodeBundle(parseBundle(input))
        same(encodeBundle(parseBundle(again)), again)
      },
      items.map((item) => bundleOf([item])),
    ),
    parser(
      'reference manifest',
      [manifest],
      parseReferenceManifest,
      recordedBelow('nvidia/rim', 'measurement.xml', 'alternatives.xml'),
    ),
    parser(
      'OCSP response',
      [response],
      parseOcspResponse,
      recordedBelow('nvidia/ocsp', '.dat').map(fromRecordedBase64),
    ),
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

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FormatError } from '../bytes/format-error.ts'
import { parseOcspResponse } from '../formats/ocsp.ts'
import { parseReferenceManifest } from '../nvidia/manifest.ts'
import { FakeAmd } from '../testing/fake-amd.ts'
import { FakeNvidia, fakeManifest, fakeOcspResponse } from '../testing/fake-nvidia.ts'
import { encodeBundle, makeBundle, parseBundle } from './bundle.ts'

const MAKER = new FakeNvidia()
const manifest = fakeManifest(MAKER, '1', [{ index: 0, hashes: ['06'.repeat(48)] }])
const response = await fakeOcspResponse(MAKER.issuer.der, MAKER.root, {
  responder: MAKER.responder(MAKER.root),
  nonce: new Uint8Array(32),
})
const bundle = encodeBundle(
  makeBundle({
    tee: 'nvidia',
    subject: { manifests: 'FAKE' },
    fetchedAt: new Date('2026-06-01'),
    items: [
      { kind: 'certificate', data: new FakeAmd().ark },
      { kind: 'manifest', data: manifest },
      { kind: 'ocsp-response', data: response },
    ],
  }),
)

/** Bytes changed, repeated, left out or put in, at places that a fixed sequence picks. */
function* mutated(original: Uint8Array, count: number): Generator<Uint8Array> {
  let state = 0x9e3779b9
  const next = (limit: number) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state % limit
  }
  for (let round = 0; round < count; round++) {
    const bytes = [...original]
    for (let changes = 1 + next(4); changes > 0; changes--) {
      const at = next(bytes.length)
      const kind = next(4)
      if (kind === 0) bytes[at] = next(256)
      else if (kind === 1) bytes.splice(at, 1 + next(8))
      else if (kind === 2) bytes.splice(at, 0, ...bytes.slice(at, at + 1 + next(64)))
      else bytes[at] = (bytes[at] ?? 0) ^ (1 << next(8))
    }
    yield Uint8Array.from(bytes)
  }
}

for (const [name, original, parse] of [
  ['parseReferenceManifest()', manifest, parseReferenceManifest],
  ['parseOcspResponse()', response, parseOcspResponse],
  ['parseBundle()', bundle, parseBundle],
] as const)
  test(`${name} throws nothing but FormatError, whatever its input`, () => {
    parse(original)
    let refused = 0
    for (const input of mutated(original, 1500))
      try {
        parse(input)
      } catch (error) {
        assert.ok(error instanceof FormatError, String(error))
        refused++
      }
    assert.ok(refused > 700, `${refused} refused`)
  })

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { EndorsementCache } from '../result/endorsement-cache.ts'
import { ANY_ENCLAVE, ANY_TD } from '../testing/any-expectation.ts'
import { FAKE_QE, FAKE_TD, FakeIntel } from '../testing/fake-intel.ts'
import { prepareDcapEndorsements } from './endorsements.ts'
import { parseQuote } from './quote.ts'
import type { QuoteBody } from './quote.ts'

// Recorded quotes are swept in `vectors.test.ts`; here every version and kind, with a cache that knows the platform.

const NOW = new Date('2026-06-01T00:00:00Z')
const DAY = 86_400_000
const INTEL = new FakeIntel()

const zeros = (length: number) => new Uint8Array(length)
const SGX_BODY: QuoteBody = {
  kind: 'sgx',
  report: { ...FAKE_QE, attributes: Uint8Array.of(5, ...zeros(15)) },
}
const TD_BODY: QuoteBody = { kind: 'tdx', report: FAKE_TD }
const TD15_BODY: QuoteBody = {
  kind: 'tdx',
  report: { ...FAKE_TD, teeTcbSvn2: FAKE_TD.teeTcbSvn, mrServiceTd: zeros(48) },
}

for (const [name, version, body] of [
  ['SGX', 3, SGX_BODY],
  ['SGX', 4, SGX_BODY],
  ['SGX', 5, SGX_BODY],
  ['TDX 1.0', 4, TD_BODY],
  ['TDX 1.0', 5, TD_BODY],
  ['TDX 1.5', 5, TD15_BODY],
] as const)
  test(`${name} quote of version ${version}: no changed bit and no truncation is accepted`, async () => {
    const window = [new Date(NOW.getTime() - DAY), new Date(NOW.getTime() + DAY)] as const
    const endorsements = await prepareDcapEndorsements(
      INTEL.endorsements(body.kind, ...window),
      INTEL.root,
    )
    const options = { now: NOW, endorsements, cache: new EndorsementCache() }
    const statusOf = async (bytes: Uint8Array) =>
      body.kind === 'tdx'
        ? (await INTEL.appraiseTdx(bytes, { ...options, expect: ANY_TD })).status
        : (await INTEL.appraiseSgx(bytes, { ...options, expect: ANY_ENCLAVE })).status
    const quote = INTEL.quote(body, { version })
    assert.equal(await statusOf(quote), 'affirming')
    const { certification } = parseQuote(quote)
    const certificates = quote.length - certification.data.length
    for (let bit = 0; bit < certificates * 8; bit++) {
      const offset = bit >> 3
      quote[offset] = (quote[offset] as number) ^ (1 << (bit & 7))
      assert.match(await statusOf(quote), /contraindicated|none/, `bit ${bit}`)
      quote[offset] = quote[offset] ^ (1 << (bit & 7))
    }
    for (let length = 0; length < quote.length; length++)
      assert.equal(await statusOf(quote.subarray(0, length)), 'contraindicated')
  })

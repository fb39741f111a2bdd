import assert from 'node:assert/strict'
import { test } from 'node:test'
import { EndorsementCache } from '../result/endorsement-cache.ts'
import { FAKE_QE, FakeIntel } from '../testing/fake-intel.ts'
import { prepareDcapEndorsements } from './endorsements.ts'
import { parseQuote } from './quote.ts'
import type { QuoteBody } from './quote.ts'
import type { TdReport } from './td-report.ts'

// Recorded quotes are swept in `vectors.test.ts`; here every version and kind, with a cache that knows the platform.

const NOW = new Date('2026-06-01T00:00:00Z')
const DAY = 86_400_000
const INTEL = new FakeIntel()
const ANY_TD = {
  reportData: 'any',
  mrTd: 'any',
  mrConfigId: 'any',
  rtmr0: 'any',
  rtmr1: 'any',
  rtmr2: 'any',
  rtmr3: 'any',
} as const
const ANY_ENCLAVE = { reportData: 'any', mrEnclave: 'any', mrSigner: 'any' } as const

const zeros = (length: number) => new Uint8Array(length)
const TD: TdReport = {
  teeTcbSvn: Uint8Array.of(5, 1, 5, ...zeros(13)),
  mrSeam: zeros(48).fill(1),
  mrSignerSeam: zeros(48),
  seamAttributes: zeros(8),
  tdAttributes: Uint8Array.of(0, 0, 0, 0x10, 0, 0, 0, 0),
  xfam: zeros(8),
  mrTd: zeros(48).fill(2),
  mrConfigId: zeros(48),
  mrOwner: zeros(48),
  mrOwnerConfig: zeros(48),
  rtmr0: zeros(48),
  rtmr1: zeros(48),
  rtmr2: zeros(48),
  rtmr3: zeros(48),
  reportData: zeros(64),
  teeTcbSvn2: undefined,
  mrServiceTd: undefined,
}
const SGX_BODY: QuoteBody = {
  kind: 'sgx',
  report: { ...FAKE_QE, attributes: Uint8Array.of(5, ...zeros(15)) },
}
const TD_BODY: QuoteBody = { kind: 'tdx', report: TD }
const TD15_BODY: QuoteBody = {
  kind: 'tdx',
  report: { ...TD, teeTcbSvn2: TD.teeTcbSvn, mrServiceTd: zeros(48) },
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
    const { signed, certification } = parseQuote(quote)
    const certificates = quote.length - certification.data.length
    for (let bit = 0; bit < certificates * 8; bit++) {
      const offset = bit >> 3
      // Beyond what the quote signature covers one bit of each byte is enough.
      if (offset >= signed.length && (bit & 7) !== (offset & 7)) continue
      quote[offset] = (quote[offset] as number) ^ (1 << (bit & 7))
      assert.match(await statusOf(quote), /contraindicated|none/, `bit ${bit}`)
      quote[offset] = quote[offset] ^ (1 << (bit & 7))
    }
    for (let length = 0; length < quote.length; length++)
      assert.equal(await statusOf(quote.subarray(0, length)), 'contraindicated')
  })

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { toHex } from '../bytes/hex.ts'
import { EndorsementCache } from '../result/endorsement-cache.ts'
import { appraiseSgx } from '../sgx/appraise.ts'
import { appraiseTdx } from '../tdx/appraise.ts'
import type { TdxAppraiseOptions } from '../tdx/appraise.ts'
import { ANY_ENCLAVE, ANY_TD } from '../testing/any-expectation.ts'
import { WITH_VECTORS, vector } from '../testing/vectors.ts'
import { parseCollateralJson } from './collateral-json.ts'
import { prepareDcapEndorsements } from './endorsements.ts'
import type { DcapEndorsements } from './endorsements.ts'
import { encodeQuote, parseQuote } from './quote.ts'
import { recogniseQuote } from './recognise.ts'

const JULY_2025 = new Date('2025-07-01T00:00:00Z')
const B0C0 = 'tdx/v4-b0c0/quote.bin'

/** Collateral of FMSPC 00806f; lists where the folders have them. */
function of00806f(month: string): DcapEndorsements {
  const folder = `tdx/v4-00806f/${month}`
  const lists = {
    '2025-06': [],
    '2025-07': ['pck_platform_crl.der', 'root_ca_crl.der'],
    '2025-10': ['pck_platform_crl.der'],
  }[month]
  return {
    certificates: [vector('tdx/certs/tcb_signing.der'), vector('tdx/certs/platform_ca.der')],
    revocationLists: [
      ...(lists ?? []).map((name) => vector(`${folder}/${name}`)),
      vector('tdx/v4-00806f/2025-07/root_ca_crl.der'),
    ],
    tcbInfos: [vector(`${folder}/tcb_info.json`)],
    qeIdentities: [vector(`${folder}/td_qe_identity.json`)],
  }
}

const ofB0c0 = () => parseCollateralJson(vector('tdx/v4-b0c0/collateral.json'))

const of90c0 = (): DcapEndorsements => ({
  certificates: [vector('tdx/collateral-2026-03/qe_identity_signing_chain.pem')],
  revocationLists: ['root_ca_crl', 'pck_crl_platform'].map((name) =>
    vector(`tdx/collateral-2026-03/${name}.der`),
  ),
  tcbInfos: ['50806f', '90c06f'].map((fmspc) =>
    vector(`tdx/collateral-2026-03/tcb_info_${fmspc}000000.json`),
  ),
  qeIdentities: [vector('tdx/collateral-2026-03/td_qe_identity.json')],
})

function appraise(
  path: string | Uint8Array,
  endorsements: TdxAppraiseOptions['endorsements'],
  now: Date,
  policy = {},
) {
  const bytes = typeof path === 'string' ? vector(path) : path
  return appraiseTdx(recogniseQuote(bytes), {
    expect: ANY_TD,
    now,
    policy,
    ...(endorsements && { endorsements }),
  })
}

function reasons(result: { readonly status: string; readonly reasons?: readonly string[] }) {
  return result.reasons ?? []
}

test('quotes encode back to the same bytes', WITH_VECTORS, () => {
  for (const path of [
    B0C0,
    'tdx/v4-00806f/quote.bin',
    'tdx/v4-gcp/quote.bin',
    'tdx/v5-td15/quote.bin',
    'sgx/v3-00a067/quote.bin',
    'sgx/v3-00a067/quote-2.bin',
  ])
    assert.equal(toHex(encodeQuote(parseQuote(vector(path)))), toHex(vector(path)), path)
  assert.equal(
    toHex(recogniseQuote(vector('tdx/v4-00806f/quote.hex'))),
    toHex(vector('tdx/v4-00806f/quote.bin')),
  )
})

test('TDX v4 of b0c06f: UpToDate, affirming; prepared and cached too', WITH_VECTORS, async () => {
  const plain = await appraise(B0C0, ofB0c0(), JULY_2025)
  assert.equal(plain.status, 'affirming')
  assert.equal(plain.tcbStatus, 'UpToDate')
  assert.deepEqual(plain.advisories, [])
  const endorsements = await prepareDcapEndorsements(ofB0c0())
  const cache = new EndorsementCache()
  for (let round = 0; round < 2; round++) {
    const result = await appraiseTdx(vector(B0C0), {
      expect: ANY_TD,
      now: JULY_2025,
      endorsements,
      cache,
    })
    assert.equal(result.status, 'affirming')
  }
  assert.equal(cache.size, 1)
})

test('TDX v4 of 00806f: OutOfDate with its advisories in two months', WITH_VECTORS, async () => {
  for (const [month, day] of [
    ['2025-06', '2025-06-15'],
    ['2025-07', '2025-07-20'],
    ['2025-10', '2025-10-25'],
  ] as const) {
    const result = await appraise('tdx/v4-00806f/quote.bin', of00806f(month), new Date(day))
    assert.equal(result.status, 'contraindicated')
    assert.deepEqual(reasons(result), ['dcap.tcb.status'])
    assert.equal(result.tcbStatus, 'OutOfDate')
    assert.deepEqual(result.advisories, ['INTEL-SA-00960', 'INTEL-SA-00982', 'INTEL-SA-00986'])
  }
})

test('an accepted status is a warning, bounded by advisories and grace', WITH_VECTORS, async () => {
  const run = (policy: object) =>
    appraise('tdx/v4-00806f/quote.bin', of00806f('2025-07'), new Date('2025-07-20'), policy)
  const acceptTcbStatuses = ['OutOfDate']
  const acceptAdvisories = ['INTEL-SA-00960', 'INTEL-SA-00982', 'INTEL-SA-00986']
  assert.equal((await run({ acceptTcbStatuses })).status, 'warning')
  assert.equal((await run({ acceptTcbStatuses, acceptAdvisories })).status, 'warning')
  assert.equal((await run({ acceptTcbStatuses, acceptAdvisories: [] })).status, 'contraindicated')
  assert.equal((await run({ acceptTcbStatuses, graceDays: 1 })).status, 'contraindicated')
  assert.equal((await run({ acceptTcbStatuses, graceDays: 10_000 })).status, 'warning')
  const words = async (policy: Parameters<typeof run>[0]) =>
    (await run(policy)).checks.find(({ code }) => code === 'dcap.tcb.status')
  assert.equal((await words({}))?.expected, 'UpToDate')
  const named = await words({ acceptTcbStatuses, acceptAdvisories: ['INTEL-SA-00960'] })
  assert.equal(named?.expected, 'UpToDate, or OutOfDate with no advisories but INTEL-SA-00960')
  const dated = await words({ acceptTcbStatuses, graceDays: 1 })
  assert.equal(dated?.expected, "UpToDate, or OutOfDate until 1 days after the level's date")
  assert.match(dated?.received ?? '', /^OutOfDate .*, level of 20\d\d-\d\d-\d\dT/)
  assert.equal((await run({ acceptTcbStatuses: ['SWHardeningNeeded'] })).status, 'contraindicated')
})

test('TDX v4 of GCP: UpToDate in both months, undecided without lists', WITH_VECTORS, async () => {
  for (const [month, day] of [
    ['2025-06', '2025-06-15'],
    ['2025-10', '2025-10-25'],
  ] as const) {
    const result = await appraise('tdx/v4-gcp/quote.bin', of00806f(month), new Date(day))
    assert.equal(result.tcbStatus, 'UpToDate')
    if (month === '2025-06') assert.deepEqual(reasons(result), ['dcap.revocation.missing'])
    const skipped = await appraise('tdx/v4-gcp/quote.bin', of00806f(month), new Date(day), {
      allowMissingRevocationLists: true,
    })
    assert.match(skipped.status, /affirming|warning/)
  }
})

test(
  'TDX v5 with a TD 1.5 body: UpToDate among collateral of two platforms',
  WITH_VECTORS,
  async () => {
    const result = await appraise('tdx/v5-td15/quote.bin', of90c0(), new Date('2026-03-20'))
    assert.equal(result.tcbStatus, 'UpToDate')
    assert.match(result.status, /affirming|warning/, JSON.stringify(reasons(result)))
  },
)

test('platforms below every level are not supported', WITH_VECTORS, async () => {
  for (const name of ['quote-from-tappd', 'tdx-quote']) {
    const result = await appraise(`tdx/v4-tappd/${name}.hex`, ofB0c0(), JULY_2025)
    assert.equal(result.status, 'contraindicated')
    assert.ok(reasons(result).includes('dcap.tcb.not-supported'))
  }
})

test('altered quotes are refused with their reason', WITH_VECTORS, async () => {
  for (const [name, code] of [
    ['authlen-huge', 'dcap.quote.malformed'],
    ['mrtd-flip', 'dcap.quote.signature-invalid'],
    ['trailing-nonzero', 'dcap.quote.malformed'],
    ['truncated-in-certs', 'dcap.quote.malformed'],
    ['vendor-flip', 'dcap.quote.vendor-unknown'],
  ] as const) {
    const result = await appraise(`tdx/tampered/tdx-v4-${name}.bin`, ofB0c0(), JULY_2025)
    assert.equal(result.status, 'contraindicated')
    assert.deepEqual(reasons(result), [code], name)
  }
})

test('SGX v3: ConfigurationAndSWHardeningNeeded with its advisories', WITH_VECTORS, async () => {
  const collateral = parseCollateralJson(vector('sgx/v3-00a067/collateral.json'))
  const run = (path: string, endorsements: DcapEndorsements, now: Date) =>
    appraiseSgx(vector(path), { expect: ANY_ENCLAVE, now, endorsements })
  const first = await run('sgx/v3-00a067/quote.bin', collateral, JULY_2025)
  assert.equal(first.tcbStatus, 'ConfigurationAndSWHardeningNeeded')
  assert.deepEqual(first.advisories, ['INTEL-SA-00289', 'INTEL-SA-00615'])
  assert.deepEqual(reasons(first), ['dcap.tcb.status'])
  const tcbInfos = [vector('sgx/v3-00a067/tcb_info_2025-05.json')]
  const second = await run(
    'sgx/v3-00a067/quote-2.bin',
    { ...collateral, tcbInfos },
    new Date('2025-05-20'),
  )
  assert.equal(second.tcbStatus, 'ConfigurationAndSWHardeningNeeded')
  const wrongTee = await appraise('sgx/v3-00a067/quote.bin', collateral, JULY_2025)
  assert.deepEqual(reasons(wrongTee), ['dcap.quote.tee-mismatch'])
})

test(
  'collateral that is garbage, empty, foreign, early or late never affirms',
  WITH_VECTORS,
  async () => {
    const good = ofB0c0()
    const bad = [Uint8Array.of(0xde, 0xad, 0xbe, 0xef), new Uint8Array()]
    for (const part of ['revocationLists', 'tcbInfos', 'qeIdentities', 'certificates'] as const) {
      for (const garbage of bad) {
        const replaced = await appraise(B0C0, { ...good, [part]: [garbage] }, JULY_2025)
        assert.equal(replaced.status, 'contraindicated', part)
        const beside = await appraise(
          B0C0,
          { ...good, [part]: [...(good[part] ?? []), garbage] },
          JULY_2025,
        )
        assert.equal(beside.status, 'contraindicated', part)
      }
      const without = await appraise(B0C0, { ...good, [part]: [] }, JULY_2025)
      assert.notEqual(without.status, 'affirming', part)
    }
    assert.equal((await appraise(B0C0, undefined, JULY_2025)).status, 'none')
    const late = await appraise(B0C0, good, new Date('2025-07-25'))
    assert.equal(late.status, 'none')
    const early = await appraise(B0C0, good, new Date('2025-06-01'))
    assert.equal(early.status, 'contraindicated')
    const foreign = await appraise(B0C0, of00806f('2025-07'), new Date('2025-07-20'))
    assert.ok(reasons(foreign).includes('dcap.tcb-info.mismatch'))
  },
)

test(
  'a second member spelt with escapes is refused, so it cannot replace the signed one',
  WITH_VECTORS,
  async () => {
    const text = new TextDecoder().decode(ofB0c0().tcbInfos?.[0])
    const forged = text.replace(/"svn":\d+/g, '"svn":0')
    const inner = forged.slice(forged.indexOf('{', 1), forged.lastIndexOf(',"signature"'))
    const both = text.replace(',"signature"', `,"tcb\\u0049nfo":${inner},"signature"`)
    const tcbInfos = [new TextEncoder().encode(both)]
    const result = await appraise(
      'tdx/v4-tappd/tdx-quote.hex',
      { ...ofB0c0(), tcbInfos },
      JULY_2025,
    )
    assert.ok(reasons(result).includes('dcap.endorsement.malformed'))
  },
)

test(
  'no changed bit of the signed ranges and no truncation is accepted',
  WITH_VECTORS,
  async () => {
    const endorsements = await prepareDcapEndorsements(ofB0c0())
    const cache = new EndorsementCache()
    const quote = vector(B0C0)
    const statusOf = async (bytes: Uint8Array) =>
      (await appraiseTdx(bytes, { expect: ANY_TD, now: JULY_2025, endorsements, cache })).status
    assert.equal(await statusOf(quote), 'affirming')
    // Header, body, signatures, attestation key, QE report, its signature and auth data.
    for (let bit = 0; bit < 0x4b0 * 8; bit++) {
      const offset = bit >> 3
      quote[offset] = (quote[offset] as number) ^ (1 << (bit & 7))
      assert.match(await statusOf(quote), /contraindicated|none/, `bit ${bit}`)
      quote[offset] = quote[offset] ^ (1 << (bit & 7))
    }
    const end = quote.length - parseQuote(quote).paddingBytes
    for (let length = 0; length < end; length++)
      assert.equal(await statusOf(quote.subarray(0, length)), 'contraindicated')
  },
)

test('options of a name that nobody reads are refused, not ignored', WITH_VECTORS, async () => {
  const misspelt = { acceptTcbStatus: ['OutOfDate'] }
  await assert.rejects(appraise(B0C0, ofB0c0(), JULY_2025, misspelt), TypeError)
  const expect = { ...ANY_TD, mrtd: 'any' }
  await assert.rejects(appraiseTdx(vector(B0C0), { expect, now: JULY_2025 }), TypeError)
  const { mrTd: _left, ...without } = ANY_TD
  await assert.rejects(
    appraiseTdx(vector(B0C0), { expect: without as never, now: JULY_2025 }),
    TypeError,
  )
})

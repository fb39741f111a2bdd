import assert from 'node:assert/strict'
import { test } from 'node:test'
import { appraise } from '../appraisal/appraise.ts'
import { EndorsementCache } from '../result/endorsement-cache.ts'
import { WITH_VECTORS, vector } from '../testing/vectors.ts'
import type { SnpAppraisal, SnpAppraiseOptions } from './appraise.ts'
import { PRODUCT_LINES } from './product.ts'
import { recogniseSnpEvidence } from './recognise.ts'

const ANY = { reportData: 'any', measurement: 'any', hostData: 'any' } as const
const GENOA = 'snp/genoa-v5/vcek.der'
const AZURE = 'snp/milan-v2-azure/vcek.der'
const DEBUG = 'snp/milan-v2-debug/vcek.der'
const VLEK = 'snp/milan-v3-vlek/vlek.der'
const IN_2026 = new Date('2026-06-01T00:00:00Z')
const IN_2025 = new Date('2025-06-01T00:00:00Z')

function run(
  report: string | Uint8Array,
  certificates: readonly string[],
  options: Partial<SnpAppraiseOptions> = {},
): Promise<SnpAppraisal> {
  return appraise(typeof report === 'string' ? vector(report) : report, {
    tee: 'snp',
    expect: ANY,
    now: IN_2026,
    endorsements: { certificates: certificates.map(vector) },
    ...options,
  })
}

function reasonsOf(result: SnpAppraisal): readonly string[] {
  return result.status === 'affirming' ? [] : result.reasons
}

test(
  'Genoa version 5 is affirming, with or without the bundle of its line',
  WITH_VECTORS,
  async () => {
    for (const bundle of [[], ['snp/bundles/genoa_ask_ark_asvk.pem']]) {
      const result = await run('snp/genoa-v5/report.bin', [GENOA, ...bundle])
      assert.equal(result.status, 'affirming', JSON.stringify(result, null, 1))
      assert.deepEqual(result.anchor, { kind: 'hardware', line: 'Genoa' })
      const acpi = result.checks.find(({ code }) => code === 'guest.acpi-unmeasured')
      assert.equal(acpi?.outcome, 'not-checked')
      const skipped = result.checks.filter(({ outcome }) => outcome === 'not-checked')
      for (const code of [
        'snp.report-data.mismatch',
        'snp.measurement.mismatch',
        'snp.host-data.mismatch',
        'snp.revocation.missing',
      ])
        assert.ok(
          skipped.some((check) => check.code === code),
          code,
        )
    }
    const { report, certificates = [] } = recogniseSnpEvidence(vector('snp/genoa-v5/evidence.json'))
    const wrapped = await appraise(
      { report, certificates },
      { tee: 'snp', expect: ANY, now: IN_2026 },
    )
    assert.equal(wrapped.status, 'affirming')
  },
)

test('the same through a cache, whose second answer equals the first', WITH_VECTORS, async () => {
  const cache = new EndorsementCache()
  const first = await run('snp/genoa-v5/report.bin', [GENOA], { cache })
  const second = await run('snp/genoa-v5/report.bin', [GENOA], { cache })
  assert.equal(second.status, 'affirming')
  assert.equal(cache.size, 1)
  assert.deepEqual(
    second.status === 'affirming' && second.claims,
    first.status === 'affirming' && first.claims,
  )
  const later = await run('snp/genoa-v5/report.bin', [GENOA], {
    cache,
    now: new Date('2040-01-01'),
  })
  assert.deepEqual(reasonsOf(later), ['snp.endorsement.expired'])
})

test(
  'Milan warns, for its chip is not enrolled; an enrolled chip lifts that',
  WITH_VECTORS,
  async () => {
    const result = await run('snp/milan-v2-azure/report.bin', [AZURE])
    assert.equal(result.status, 'warning')
    assert.deepEqual(reasonsOf(result), ['snp.firmware.provisional', 'snp.chip.not-enrolled'])
    const chip = result.status === 'warning' ? result.claims.chipId : ''
    const enrolled = await run('snp/milan-v2-azure/report.bin', [AZURE], {
      policy: { enrolledChips: [chip] },
    })
    assert.deepEqual(reasonsOf(enrolled), ['snp.firmware.provisional'])
  },
)

test('Milan of Azure: changed signed byte, changed TCB', WITH_VECTORS, async () => {
  for (const [offset, code] of [
    [42, 'snp.signature.invalid'],
    [384, 'snp.endorsement.tcb-mismatch'],
  ] as const) {
    const report = vector('snp/milan-v2-azure/report.bin')
    report[offset] = (report[offset] as number) + 1
    const result = await run(report, [AZURE])
    assert.equal(result.status, 'contraindicated')
    assert.ok(reasonsOf(result).includes(code))
  }
})

test('a debug guest is refused by default and a warning when allowed', WITH_VECTORS, async () => {
  const refused = await run('snp/milan-v2-debug/report.bin', [DEBUG])
  assert.equal(refused.status, 'contraindicated')
  assert.deepEqual(reasonsOf(refused), ['snp.policy.debug'])
  const allowed = await run('snp/milan-v2-debug/report.bin', [DEBUG], {
    policy: { allowDebugGuest: true },
  })
  assert.equal(allowed.status, 'warning')
  assert.ok(reasonsOf(allowed).includes('snp.policy.debug'))
})

test(
  'a VLEK report: VMPL 1 is refused by default, accepted when asked for, undecided once expired',
  WITH_VECTORS,
  async () => {
    const path = 'snp/milan-v3-vlek/report.bin'
    const byDefault = await run(path, [VLEK], { now: IN_2025 })
    assert.deepEqual(reasonsOf(byDefault), ['snp.vmpl.mismatch'])
    const asked = await run(path, [VLEK], { now: IN_2025, policy: { vmpl: 1 } })
    assert.equal(asked.status, 'warning')
    assert.equal(asked.status === 'warning' && asked.claims.cspId, 'CN=cc-us-east-2.amazonaws.com')
    const expired = await run(path, [VLEK], { policy: { vmpl: 1 } })
    assert.equal(expired.status, 'none')
    assert.deepEqual(reasonsOf(expired), ['snp.endorsement.expired'])
    const elsewhere = await run(path, [VLEK], {
      now: IN_2025,
      policy: { vmpl: 1, allowedCspIds: ['CN=other'] },
    })
    assert.deepEqual(reasonsOf(elsewhere), ['snp.endorsement.csp-not-allowed'])
  },
)

test('wrong kinds and wrong chips of endorsement are refused', WITH_VECTORS, async () => {
  const cases: readonly (readonly [string, readonly string[], string])[] = [
    ['snp/milan-v3-vlek/report.bin', [AZURE], 'snp.endorsement.kind-mismatch'],
    ['snp/genoa-v5/report.bin', [VLEK], 'snp.endorsement.kind-mismatch'],
    ['snp/genoa-v5/report.bin', [], 'snp.endorsement.missing'],
    ['snp/genoa-v5/report.bin', [AZURE], 'snp.product.mismatch'],
    ['snp/milan-v2-azure/report.bin', [DEBUG], 'snp.endorsement.chip-id-mismatch'],
    [
      'snp/milan-v2-azure/report.bin',
      ['snp/vcek-invalid-legacy.der'],
      'snp.endorsement.signature-invalid',
    ],
  ]
  for (const [report, certificates, code] of cases) {
    const result = await run(report, certificates)
    assert.ok(reasonsOf(result).includes(code), `${code} in ${reasonsOf(result).join()}`)
    assert.notEqual(result.status, 'affirming')
  }
  const missing = await run('snp/genoa-v5/report.bin', [])
  assert.equal(missing.status, 'none')
})

test('altered reports are refused with their reason', WITH_VECTORS, async () => {
  for (const [name, code] of [
    ['snp-truncated', 'snp.report.malformed'],
    ['snp-v5-genoa-algo2', 'snp.report.algorithm-unsupported'],
    ['snp-v5-genoa-policy-bit17-clear', 'snp.report.malformed'],
    ['snp-v5-genoa-r-zero', 'snp.signature.malformed'],
    ['snp-v5-genoa-reportdata-flip', 'snp.signature.invalid'],
    ['snp-version7', 'snp.report.version-unsupported'],
  ] as const) {
    const result = await run(`snp/tampered/${name}.bin`, [GENOA])
    assert.equal(result.status, 'contraindicated', name)
    assert.deepEqual(reasonsOf(result), [code], name)
  }
})

test('leaves of all lines chain to built-in roots', WITH_VECTORS, async () => {
  const { findChain } = await import('./chain.ts')
  const { parseCertificate } = await import('../formats/x509-certificate.ts')
  const { AMD_ROOTS } = await import('./anchors.ts')
  const { CheckList } = await import('../result/check.ts')
  for (const [path, line] of [
    ['snp/milan-vcek-2024/vcek.der', 'Milan'],
    ['snp/turin-cert/vcek.der', 'Turin'],
    [GENOA, 'Genoa'],
  ] as const) {
    const chain = await findChain(
      {
        kind: 'vcek',
        certificates: [parseCertificate(vector(path))],
        hardwareRoots: AMD_ROOTS,
        simulatedRoots: [],
        isForReport: () => true,
      },
      new CheckList(),
    )
    assert.equal(chain?.root.line, line)
  }
  assert.equal(PRODUCT_LINES.length, 3)
})

test(
  'expectations are compared, and a caller who leaves them out is told',
  WITH_VECTORS,
  async () => {
    const good = await run('snp/genoa-v5/report.bin', [GENOA])
    assert.ok(good.status === 'affirming')
    const { measurement, reportData, hostData } = good.claims
    const expect = { measurement, reportData, hostData }
    assert.equal((await run('snp/genoa-v5/report.bin', [GENOA], { expect })).status, 'affirming')
    for (const [name, size, code] of [
      ['measurement', 48, 'snp.measurement.mismatch'],
      ['reportData', 64, 'snp.report-data.mismatch'],
      ['hostData', 32, 'snp.host-data.mismatch'],
    ] as const) {
      for (const value of [new Uint8Array(size).fill(9), []]) {
        const wrong = await run('snp/genoa-v5/report.bin', [GENOA], {
          expect: { ...expect, [name]: value },
        })
        assert.deepEqual(reasonsOf(wrong), [code])
      }
      const { [name]: _left, ...rest } = expect
      await assert.rejects(
        run('snp/genoa-v5/report.bin', [GENOA], { expect: rest as never }),
        TypeError,
      )
      await assert.rejects(
        run('snp/genoa-v5/report.bin', [GENOA], { expect: { ...expect, [name]: '00' } }),
        RangeError,
      )
    }
    await assert.rejects(
      run('snp/genoa-v5/report.bin', [GENOA], { expect: undefined as never }),
      TypeError,
    )
    await assert.rejects(
      run('snp/genoa-v5/report.bin', [GENOA], { now: undefined as never }),
      TypeError,
    )
    await assert.rejects(
      run('snp/genoa-v5/report.bin', [GENOA], { simulatedRoots: ['00'] }),
      RangeError,
    )
  },
)

test('options of a name that nobody reads are refused, not ignored', WITH_VECTORS, async () => {
  for (const options of [
    { policy: { minimumTbc: {} } },
    { policy: { minimumTcb: { Genova: {} } } },
    { policy: { minimumTcb: { Genoa: { microcod: 1 } } } },
    { policy: { minimumFirmware: { Rome: { major: 1, minor: 0, build: 0 } } } },
    { expect: { ...ANY, mesurement: 'any' } },
  ])
    await assert.rejects(run('snp/genoa-v5/report.bin', [GENOA], options as never), TypeError)
})

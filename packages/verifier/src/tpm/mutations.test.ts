import assert from 'node:assert/strict'
import { createHash, generateKeyPairSync } from 'node:crypto'
import { test } from 'node:test'
import { concatBytes } from '../bytes/concat.ts'
import { FormatError } from '../bytes/format-error.ts'
import { toUtf8 } from '../bytes/text.ts'
import { parseCel } from '../eventlog/cel.ts'
import { EVENT_TYPE } from '../eventlog/event-types.ts'
import { parseTcgLog } from '../eventlog/tcg-log.ts'
import type { TcgEvent } from '../eventlog/tcg-log.ts'
import { basicConstraintsExtension, keyUsageExtension } from '../formats/x509-extensions.ts'
import { spkiOf } from '../node/key-signer.ts'
import { FakeTpm, SEPARATOR, fakeEvent, fakeLog, goodBoot } from '../testing/fake-tpm.ts'
import { WITH_VECTORS, vector } from '../testing/vectors.ts'
import { appraiseTpm } from './appraise.ts'
import type { TpmAppraiseOptions } from './appraise.ts'
import { parseTpmAttest } from './attest.ts'
import { TPM_CHECKS } from './check-codes.ts'
import type { TpmCheckCode } from './check-codes.ts'
import type { TpmEvidence } from './evidence.ts'
import { ANY_PCRS } from './policy.ts'
import { parseTpmPublicArea } from './public-area.ts'
import { recogniseTpmEvidence } from './recognise.ts'

// Every rule has a case that breaks it: what comes out besides the expected code is a defect.

const NOW = new Date('2026-06-01T00:00:00Z')
const TPM = new FakeTpm()
const GOOD = await TPM.evidence()
const [QUOTE] = GOOD.quotes
const VALUES = QUOTE?.banks[0]?.values ?? new Map<number, Uint8Array>()
const ANY = { ...ANY_PCRS, reportData: 'any', ak: 'any' } as const
const TRUSTED = { trustedRoots: [TPM.fingerprint] }
const BARE = { ak: GOOD.ak, quotes: GOOD.quotes }

interface Case {
  readonly code: TpmCheckCode
  readonly outcome?: 'fail' | 'undecided' | 'warning' | 'not-checked'
  readonly evidence?: TpmEvidence | Uint8Array
  readonly options?: Partial<TpmAppraiseOptions>
  /** Codes that cannot but come along. */
  readonly also?: readonly TpmCheckCode[]
}

const quoted = (quote: TpmEvidence['quotes'][number]): TpmEvidence => ({ ...GOOD, quotes: [quote] })
const booted = (events: readonly TcgEvent[]) => TPM.evidence(events)
const attest = (change: Parameters<FakeTpm['quote']>[1]) => quoted(TPM.quote(VALUES, change))
const message = QUOTE?.message ?? new Uint8Array()
const patched = (offset: number, ...bytes: readonly number[]) => {
  const copy = message.slice()
  copy.set(bytes, offset)
  return quoted(TPM.signed(copy, VALUES))
}
const weakKey = spkiOf(generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey)
const withLog = (eventLog: Uint8Array): TpmEvidence => ({ ...GOOD, eventLog })
const otherKey = new FakeTpm().spki
const AK = createHash('sha256').update(TPM.spki).digest('hex')
const insert = (at: number, ...events: readonly TcgEvent[]) =>
  goodBoot().toSpliced(at, 0, ...events)

const CASES: readonly Case[] = [
  { code: 'tpm.evidence.malformed', evidence: toUtf8('{}') },
  { code: 'tpm.evidence.malformed', evidence: { ...GOOD, quotes: [] } },
  { code: 'tpm.quote.malformed', evidence: quoted(TPM.signed(message.subarray(0, -1), VALUES)) },
  {
    code: 'tpm.quote.malformed',
    evidence: quoted(TPM.signed(concatBytes(message, Uint8Array.of(0)), VALUES)),
  },
  { code: 'tpm.quote.not-generated', evidence: patched(0, 0xfe) },
  { code: 'tpm.quote.type-unsupported', evidence: patched(4, 0x80, 0x17) },
  {
    code: 'tpm.quote.signature-invalid',
    evidence: quoted({ ...TPM.quote(VALUES), message: TPM.quote(VALUES, { clock: 2n }).message }),
  },
  {
    code: 'tpm.quote.signature-invalid',
    evidence: { ...GOOD, quotes: [new FakeTpm().quote(VALUES)] },
  },
  { code: 'tpm.quote.digest-mismatch', evidence: attest({ pcrDigest: new Uint8Array(32) }) },
  {
    code: 'tpm.quote.digest-mismatch',
    evidence: quoted({ ...TPM.quote(VALUES), banks: [{ hash: 'sha256', values: new Map() }] }),
  },
  { code: 'tpm.ak.key-unsupported', evidence: { ...GOOD, ak: weakKey } },
  { code: 'tpm.ak.key-unsupported', evidence: { ...GOOD, ak: new Uint8Array(9) } },
  {
    code: 'tpm.nonce.mismatch',
    options: { expect: { ...ANY, reportData: '00'.repeat(32) } },
  },
  {
    code: 'tpm.nonce.size',
    evidence: { ...attest({ extraData: new Uint8Array(64) }), nonceSize: 32 },
    options: { expect: { ...ANY, reportData: '00'.repeat(64) } },
  },
  {
    code: 'tpm.pcr.not-quoted',
    evidence: { ...BARE, quotes: [TPM.quote(new Map([[0, new Uint8Array(20)]]), {}, 'sha1')] },
  },
  { code: 'tpm.pcr.not-quoted', options: { policy: { ...TRUSTED, pcrBank: 'sha384' } } },
  {
    code: 'tpm.pcr.not-quoted',
    outcome: 'warning',
    evidence: { ...BARE, quotes: [TPM.quote(new Map([[0, new Uint8Array(20)]]), {}, 'sha1')] },
    options: { expect: { ...ANY, ak: AK }, policy: { allowSha1: true } },
  },
  {
    code: 'tpm.pcr.not-quoted',
    evidence: { ...BARE, quotes: [TPM.quote(new Map([[0, new Uint8Array(32)]]))] },
    options: { expect: { ...ANY, ak: AK, pcr7: '00'.repeat(32) } },
  },
  { code: 'tpm.pcr.mismatch', options: { expect: { ...ANY, pcr7: '00'.repeat(32) } } },
  {
    code: 'tpm.ak.attributes',
    evidence: { ...GOOD, publicArea: parseTpmPublicArea(TPM.publicArea(0x4_0072)) },
  },
  {
    code: 'tpm.ak.attributes',
    evidence: { ...GOOD, publicArea: parseTpmPublicArea(TPM.publicArea(0x7_0072)) },
  },
  { code: 'tpm.ak.mismatch', options: { expect: { ...ANY, ak: '00'.repeat(32) } } },
  {
    code: 'tpm.ak.not-certified',
    outcome: 'warning',
    evidence: BARE,
    options: { policy: {} },
  },
  { code: 'tpm.ak.not-certified', outcome: 'undecided', evidence: BARE },
  {
    code: 'tpm.ak.certificate-malformed',
    evidence: { ...GOOD, certificate: new Uint8Array(8) },
  },
  {
    code: 'tpm.ak.certificate-malformed',
    evidence: {
      ...GOOD,
      certificate: TPM.certificate({ extensions: [basicConstraintsExtension(true)] }),
    },
  },
  {
    code: 'tpm.ak.certificate-malformed',
    evidence: { ...GOOD, certificate: TPM.certificate({ extensions: [keyUsageExtension(2)] }) },
  },
  {
    code: 'tpm.ak.certificate-malformed',
    evidence: {
      ...GOOD,
      certificate: TPM.certificate({
        extensions: [{ oid: '1.2.3.4', critical: true, value: new Uint8Array() }],
      }),
    },
  },
  {
    code: 'tpm.ak.certificate-mismatch',
    evidence: { ...GOOD, certificate: TPM.certificate({ spki: otherKey }) },
  },
  {
    code: 'tpm.ak.untrusted-root',
    outcome: 'undecided',
    options: { policy: { trustedRoots: ['00'.repeat(32)] } },
  },
  { code: 'tpm.ak.expired', outcome: 'undecided', options: { now: new Date('2040-01-02') } },
  { code: 'tpm.ak.not-yet-valid', options: { now: new Date('2019-12-31') } },
  { code: 'tpm.clock.unsafe', outcome: 'warning', evidence: attest({ clockSafe: false }) },
  { code: 'tpm.binding.unproven', outcome: 'not-checked' },
  {
    code: 'event-log.missing',
    outcome: 'undecided',
    evidence: { ...BARE, certificate: TPM.certificate(), intermediates: [TPM.root] },
    options: { policy: { ...TRUSTED, requireEventLog: true } },
  },
  ...[{ requireSecureBoot: true }, { requireExplained: [0] }].map(
    (demand) =>
      ({
        code: 'event-log.missing',
        outcome: 'undecided',
        evidence: BARE,
        options: { expect: { ...ANY, ak: AK }, policy: demand },
      }) as const,
  ),
  { code: 'event-log.malformed', evidence: withLog(fakeLog(goodBoot()).subarray(0, -1)) },
  {
    code: 'event-log.malformed',
    evidence: withLog(
      concatBytes(fakeLog(goodBoot()), new Uint8Array(8).fill(0xff), Uint8Array.of(1)),
    ),
  },
  { code: 'event-log.replay-mismatch', evidence: withLog(fakeLog(goodBoot().toReversed())) },
  {
    code: 'event-log.replay-mismatch',
    evidence: withLog(fakeLog(goodBoot().toSpliced(-2, 1))),
  },
  {
    code: 'event-log.unexplained',
    outcome: 'warning',
    evidence: withLog(fakeLog(goodBoot().filter(({ index }) => index !== 0))),
  },
  {
    code: 'event-log.unexplained',
    evidence: withLog(fakeLog(goodBoot().filter(({ index }) => index !== 0))),
    options: { policy: { ...TRUSTED, requireExplained: [0] } },
  },
  {
    code: 'event-log.digest-mismatch',
    evidence: await booted(insert(1, fakeEvent(0, EVENT_TYPE.nonHostInfo, SEPARATOR, zeros()))),
  },
  {
    code: 'event-log.separator',
    evidence: await booted([...goodBoot(), fakeEvent(4, EVENT_TYPE.separator, SEPARATOR)]),
  },
  {
    code: 'event-log.separator',
    evidence: await booted([
      ...goodBoot(),
      fakeEvent(8, EVENT_TYPE.separator, Uint8Array.of(1, 0, 0, 0)),
    ]),
  },
  {
    code: 'event-log.unknown-event',
    evidence: await booted(insert(1, fakeEvent(7, 0x8000_1234, SEPARATOR))),
  },
  {
    code: 'event-log.boot-order',
    outcome: 'warning',
    evidence: await booted(goodBoot().toSpliced(-2, 1)),
  },
  {
    code: 'event-log.secure-boot-malformed',
    evidence: await booted(goodBoot(new Uint8Array())),
  },
  {
    code: 'event-log.secure-boot-malformed',
    evidence: await booted(goodBoot(Uint8Array.of(2))),
  },
  {
    code: 'event-log.secure-boot-malformed',
    evidence: await booted(insert(2, goodBoot()[1] as TcgEvent)),
  },
  {
    code: 'event-log.secure-boot-malformed',
    evidence: await booted([...goodBoot().toSpliced(1, 1), goodBoot()[1] as TcgEvent]),
  },
  {
    code: 'event-log.secure-boot-off',
    outcome: 'warning',
    evidence: await booted(goodBoot(Uint8Array.of(0))),
  },
  {
    code: 'event-log.secure-boot-off',
    evidence: await booted(goodBoot(Uint8Array.of(0))),
    options: { policy: { ...TRUSTED, requireSecureBoot: true } },
  },
  { code: 'event-log.container', evidence: { ...GOOD, canonicalLog: Uint8Array.of(0) } },
  { code: 'event-log.container', evidence: { ...GOOD, canonicalLog: celRecord() } },
]

function zeros(): Uint8Array {
  return new Uint8Array(32)
}

/** One container event whose digest is none of its content. */
function celRecord(): Uint8Array {
  const element = (type: number, value: Uint8Array) =>
    concatBytes(Uint8Array.of(type, 0, 0, 0, value.length), value)
  return concatBytes(
    element(0, new Uint8Array(8)),
    element(1, Uint8Array.of(13)),
    element(3, element(11, new Uint8Array(32))),
    element(80, element(0, toUtf8('image'))),
  )
}

function appraise({ evidence = GOOD, options = {} }: Pick<Case, 'evidence' | 'options'>) {
  return appraiseTpm(evidence, { expect: ANY, now: NOW, policy: TRUSTED, ...options })
}

const seen = new Set<TpmCheckCode>()

test('the machine that the cases start from is affirming, whatever names it', async () => {
  const result = await appraise({})
  assert.equal(result.status, 'affirming', JSON.stringify(result, null, 1))
  assert.equal(result.claims.boot?.secureBoot?.enabled, true)
  const { ak, reportData, pcrs } = result.claims
  const named = await appraise({
    options: { policy: {}, expect: { ...ANY, ...pcrs, ak, reportData } },
  })
  assert.equal(named.status, 'affirming')
})

for (const [index, example] of CASES.entries())
  test(`case ${index}: ${example.code} ${example.outcome ?? 'fail'}`, async () => {
    const { code, outcome = 'fail', also = [] } = example
    const result = await appraise(example)
    const bad = result.checks
      .filter((check) => check.outcome === outcome)
      .map((check) => check.code)
    assert.ok(bad.includes(code), `${code} not in ${bad.join(', ')}`)
    if (outcome !== 'not-checked')
      assert.deepEqual(
        bad.filter((other) => other !== code && !also.includes(other)),
        [],
      )
    const status = {
      fail: 'contraindicated',
      undecided: 'none',
      warning: 'warning',
      'not-checked': 'affirming',
    }
    assert.equal(result.status, status[outcome], JSON.stringify(result, null, 1))
    seen.add(code)
  })

test('every code of the union has a case', () => {
  assert.deepEqual(
    Object.keys(TPM_CHECKS).filter((code) => !seen.has(code as TpmCheckCode)),
    [],
  )
})

test('what a caller leaves out or misspells is an error', async () => {
  const { pcr3: _, ...without } = ANY
  await assert.rejects(appraise({ options: { expect: without as typeof ANY } }), TypeError)
  await assert.rejects(appraise({ options: { policy: { trustedRoot: [] } as never } }), TypeError)
  await assert.rejects(appraise({ options: { policy: { trustedRoots: ['x'] } } }), RangeError)
})

test('every bit of a signed quote counts, and every truncation is refused', async () => {
  const quote = TPM.quote(VALUES)
  for (let bit = 0; bit < quote.message.length * 8; bit++) {
    const changed = quote.message.slice()
    changed[bit >> 3] = (changed[bit >> 3] as number) ^ (1 << (bit & 7))
    const result = await appraise({ evidence: quoted({ ...quote, message: changed }) })
    assert.equal(result.status, 'contraindicated', `bit ${bit}`)
  }
  for (let length = 0; length < quote.message.length; length++)
    assert.throws(() => parseTpmAttest(quote.message.subarray(0, length)), FormatError)
})

test('recorded bytes, cut or changed, give a value or a format error', WITH_VECTORS, () => {
  const samples = [
    [recogniseTpmEvidence, vector('tpm/tpm_evidence.json')],
    [recogniseTpmEvidence, vector('tpm/attestations/gce-cos-85-nonce9009.pb')],
    [parseTcgLog, vector('tpm/eventlogs/debian-10.bin')],
    [parseTcgLog, vector('tpm/eventlogs/rhel8-uefi.bin')],
    [parseCel, Buffer.from(Buffer.from(vector('tpm/cel/cel.b64')).toString(), 'base64')],
  ] as const
  for (const [parse, sample] of samples) {
    const step = Math.ceil(sample.length / 400)
    for (let at = 0; at < sample.length; at += step) {
      throwsOnlyFormatError(() => parse(sample.subarray(0, at)))
      for (const word of [0, 1, 0xffff_ffff]) {
        const changed = Uint8Array.from(sample)
        new DataView(changed.buffer).setUint32(Math.min(at, sample.length - 4), word, true)
        throwsOnlyFormatError(() => parse(changed))
      }
    }
  }
})

test('a log of nothing but zeros, or of empty records, is read in one pass', () => {
  const zero = new Uint8Array(8 << 20)
  throwsOnlyFormatError(() => parseTcgLog(zero))
  zero[zero.length - 1] = 1
  throwsOnlyFormatError(() => parseTcgLog(zero))
})

function throwsOnlyFormatError(run: () => unknown): void {
  try {
    run()
  } catch (error) {
    if (!(error instanceof FormatError)) throw error
  }
}

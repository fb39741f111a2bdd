import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { WITH_VECTORS, vector, vectorPath } from '@cloister/verifier/testing/vectors'
import { runCloister } from '../testing/run-cloister.ts'

const home = mkdtempSync(join(tmpdir(), 'cloister-verify-'))
after(() => {
  rmSync(home, { recursive: true, force: true })
})

interface Answer {
  readonly code: number
  readonly json: Record<string, unknown>
  readonly talk: string
}

async function verify(...words: readonly string[]): Promise<Answer> {
  const all = ['evidence', 'verify', ...words, '-o', 'json']
  const { code, out, talk } = await runCloister(all, { home })
  return { code, json: out === '' ? {} : (JSON.parse(out) as Record<string, unknown>), talk }
}

const GENOA = ['--tee', 'snp', '--endorsements', vectorPath('snp/genoa-v5/vcek.der')]
const AT = ['--at', '2026-06-01T00:00:00Z']
const report = vectorPath('snp/genoa-v5/report.bin')

function folder(name: string, files: Readonly<Record<string, Uint8Array>>): string {
  const path = join(home, name)
  mkdirSync(path)
  for (const [file, bytes] of Object.entries(files)) writeFileSync(join(path, file), bytes)
  return path
}

function codesOf({ json }: Answer, outcome: string): string[] {
  const checks = json['checks'] as { code: string; outcome: string }[]
  return checks.filter((check) => check.outcome === outcome).map(({ code }) => code)
}

test(
  'good evidence is affirming, and its JSON has the documented members',
  WITH_VECTORS,
  async () => {
    const { code, json } = await verify(report, ...GENOA, '--expect', 'any', ...AT)
    assert.equal(code, 0)
    assert.equal(json['status'], 'affirming')
    assert.equal(json['tee'], 'snp')
    for (const member of ['tcbStatus', 'advisories', 'claims', 'checks'])
      assert.ok(Object.hasOwn(json, member), member)
    assert.ok(!Object.hasOwn(json, 'unverifiedClaims'))
  },
)

test('whatever is found, the JSON has the same members', WITH_VECTORS, async () => {
  const truncated = vectorPath('snp/tampered/snp-truncated.bin')
  const members = ['advisories', 'anchor', 'checks', 'reasons', 'status', 'tcbStatus', 'tee']
  for (const [file, claims] of [
    [report, 'claims'],
    [truncated, 'unverifiedClaims'],
  ] as const) {
    const { json } = await verify(file, ...GENOA, '--expect', 'any', ...AT)
    assert.deepEqual(Object.keys(json).sort(), [...members, claims].sort())
  }
  const { code, json } = await verify(truncated, ...GENOA, '--expect', 'any', ...AT)
  assert.deepEqual([code, json['reasons'], json['anchor']], [2, ['snp.report.malformed'], null])
  assert.deepEqual([json['tcbStatus'], json['advisories']], ['NotJudged', []])
})

test('a folder with endorsements of all makers serves each TEE', WITH_VECTORS, async () => {
  // Intel's revocation lists among them, none of AMD's.
  const all = ['--endorsements', vectorPath('roots')]
  const { code, json } = await verify(report, ...GENOA, ...all, '--expect', 'any', ...AT)
  assert.deepEqual([code, json['status'], json['reasons']], [0, 'affirming', []])
  const strict = folder('strict', { 'policy.json': Buffer.from('{"requireRevocationList":true}') })
  const demanded = ['--policy', join(strict, 'policy.json')]
  const without = await verify(report, ...GENOA, ...all, ...demanded, '--expect', 'any', ...AT)
  assert.deepEqual([without.code, without.json['reasons']], [3, ['snp.revocation.missing']])
})

test('raw, hex, base64 and JSON are recognised', WITH_VECTORS, async () => {
  const bytes = Buffer.from(vector('snp/genoa-v5/report.bin'))
  const forms = folder('forms', {
    hex: Buffer.from(`${bytes.toString('hex')}\n`),
    base64: Buffer.from(bytes.toString('base64')),
    json: vector('snp/genoa-v5/evidence.json'),
  })
  const answers = await Promise.all(
    ['hex', 'base64', 'json'].map((form) =>
      verify(join(forms, form), ...GENOA, '--expect', 'any', ...AT),
    ),
  )
  assert.deepEqual(
    answers.map(({ code, json }) => [code, json['status']]),
    Array.from({ length: 3 }, () => [0, 'affirming']),
  )
})

test(
  'a folder of endorsements is sorted by content, whatever its files are called',
  WITH_VECTORS,
  async () => {
    const july = (name: string) => vector(`tdx/v4-00806f/2025-07/${name}`)
    const mixed = folder('mixed', {
      '1': july('tcb_info.json'),
      '2.bin': july('td_qe_identity.json'),
      'a.txt': july('pck_platform_crl.der'),
      b: july('root_ca_crl.der'),
      'c.pem': Buffer.from(
        `-----BEGIN CERTIFICATE-----\n${Buffer.from(vector('tdx/certs/tcb_signing.der')).toString('base64')}\n-----END CERTIFICATE-----\n`,
      ),
      d: vector('tdx/certs/platform_ca.der'),
      'notes.md': Buffer.from('# nothing\n'),
    })
    const words = [
      vectorPath('tdx/v4-00806f/quote.bin'),
      '--tee',
      'tdx',
      '--endorsements',
      mixed,
      '--expect',
      'any',
      '--at',
      '2025-07-20',
    ]
    const strictest = await verify(...words)
    assert.deepEqual([strictest.code, strictest.json['status']], [2, 'contraindicated'])
    assert.equal(strictest.json['tcbStatus'], 'OutOfDate')
    assert.ok((strictest.json['advisories'] as string[]).length > 0)
    assert.ok(codesOf(strictest, 'fail').includes('dcap.tcb.status'))
    assert.ok(Object.hasOwn(strictest.json, 'unverifiedClaims'))
    assert.match(strictest.talk, /not an endorsement: .*notes\.md/)
    // What is accepted in the open is a warning, and a refusal for who wants none.
    const accepted = await verify(...words, '--accept', 'OutOfDate')
    assert.deepEqual([accepted.code, accepted.json['status']], [0, 'warning'])
    const strict = await verify(...words, '--accept', 'OutOfDate', '--strict')
    assert.deepEqual([strict.code, strict.json['status']], [2, 'warning'])
  },
)

test('a folder may hold links and base64; a folder in it is named', WITH_VECTORS, async () => {
  const vcek = Buffer.from(vector('snp/genoa-v5/vcek.der'))
  const base64 = Buffer.from(vcek.toString('base64').replaceAll(/.{64}/g, '$&\n'))
  const within = folder('linked', { 'notes.md': Buffer.from('# nothing\n') })
  mkdirSync(join(within, '..data'))
  writeFileSync(join(within, '..data', 'vcek'), base64)
  symlinkSync(join('..data', 'vcek'), join(within, 'vcek'))
  mkdirSync(join(within, 'more'))
  const words = [report, '--tee', 'snp', '--endorsements', within, '--expect', 'any', ...AT]
  const { code, talk } = await verify(...words)
  assert.equal(code, 0)
  assert.deepEqual(talk.match(/not an endorsement: .*/g)?.length, 2)
  assert.match(talk, /not an endorsement: .*linked\/more\//)
})

test('another expectation is refused with both values', WITH_VECTORS, async () => {
  const wanted = 'ab'.repeat(48)
  const values = [`measurement=${wanted}`, 'reportData=any', 'hostData=any']
  const answer = await verify(
    report,
    ...GENOA,
    ...values.flatMap((one) => ['--expect', one]),
    ...AT,
  )
  assert.equal(answer.code, 2)
  const checks = answer.json['checks'] as { code: string; expected: string; received: string }[]
  const check = checks.find(({ code }) => code === 'snp.measurement.mismatch')
  assert.equal(check?.expected, wanted)
  assert.match(check.received, /^d9912ba3/)
})

test('a missing or expired endorsement leaves it undecided: 3', WITH_VECTORS, async () => {
  const without = await verify(report, '--tee', 'snp', '--expect', 'any', ...AT)
  assert.deepEqual([without.code, without.json['status']], [3, 'none'])
  const late = await verify(report, ...GENOA, '--expect', 'any', '--at', '2050-01-01')
  assert.deepEqual([late.code, late.json['status']], [3, 'none'])
})

test(
  'a policy is read from its file; names that nobody knows are usage',
  WITH_VECTORS,
  async () => {
    const policies = folder('policies', {
      strict: Buffer.from('{"requireRevocationList":true}'),
      unknown: Buffer.from('{"requireRevocationLists":true}'),
      broken: Buffer.from('['),
      twice: Buffer.from('{"distrustedLines":["Genoa"],"distrustedLines":[]}'),
      mask: Buffer.from('{"requireMitigations":18446744073709551615}'),
    })
    const withPolicy = (name: string) =>
      verify(report, ...GENOA, '--expect', 'any', '--policy', join(policies, name), ...AT)
    assert.equal((await withPolicy('strict')).code, 3)
    assert.equal((await withPolicy('unknown')).code, 6)
    assert.match((await withPolicy('broken')).talk, /error policy\.malformed/)
    assert.match((await withPolicy('twice')).talk, /error policy\.malformed[^]*stands twice/)
    const masked = (await withPolicy('mask')).json['checks'] as Record<string, unknown>[]
    const mitigation = masked.find(({ code }) => code === 'snp.mitigation.missing')
    assert.equal(mitigation?.['expected'], `0x${'f'.repeat(16)}`)
  },
)

test('what is left out or misspelt is usage: 6', WITH_VECTORS, async () => {
  const usages = [
    [report, '--expect', 'any'],
    [report, '--tee', 'sev', '--expect', 'any'],
    [report, ...GENOA, ...AT],
    [report, ...GENOA, '--expect', 'measurement=any'],
    [report, ...GENOA, '--expect', 'any', '--expect', 'colour=any'],
    [report, ...GENOA, '--expect', 'any', '--at', 'yesterday'],
    [join(home, 'absent'), ...GENOA, '--expect', 'any'],
    [report, ...GENOA, '--expect', 'any', '--accept', 'OutOfDate'],
    [report, ...GENOA, '--expect', 'any', '--early', vectorPath('tdx/v4-b0c0/collateral.json')],
  ]
  const answers = await Promise.all(usages.map((words) => verify(...words)))
  assert.deepEqual(
    answers.map(({ code }) => code),
    usages.map(() => 6),
  )
})

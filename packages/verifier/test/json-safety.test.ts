import assert from 'node:assert/strict'
import { test } from 'node:test'
import { allParsers } from '../fuzz/all-targets.ts'
import { appraiseNitroUnder } from '../src/nitro/appraise.ts'
import { FormatError } from '../src/bytes/format-error.ts'
import { fromUtf8, toUtf8 } from '../src/bytes/text.ts'
import { cborInt, cborMap, cborText, encodeCbor } from '../src/formats/cbor-item.ts'
import { parseCbor } from '../src/formats/cbor-reader.ts'
import { newSnpReport } from '../src/snp/report-template.ts'
import { ANY_NITRO, ANY_SNP } from '../src/testing/any-expectation.ts'
import { FakeAmd, GENOA_GUEST } from '../src/testing/fake-amd.ts'
import { FakeAws } from '../src/testing/fake-aws.ts'

const NOW = new Date('2026-06-01T00:00:00Z')
const POLLUTED = 'polluted'
/** Put at the start of each object of a JSON sample, so of whatever a parser copies from one value to another. */
const MEMBERS = [
  `"__proto__":{"${POLLUTED}":1},`,
  `"constructor":{"prototype":{"${POLLUTED}":1}},`,
  `"toString":1,"hasOwnProperty":1,`,
]

const PARSERS = await allParsers()

test('names of the prototype in JSON change no prototype and break no parser', () => {
  let tried = 0
  for (const target of PARSERS)
    for (const sample of target.corpus.filter(isJson))
      for (const member of MEMBERS)
        for (const input of withMember(fromUtf8('json', 'text', sample), member)) {
          tried++
          try {
            target.run(toUtf8(input))
          } catch (error) {
            if (!(error instanceof FormatError)) throw error
          }
          assert.equal(({} as Record<string, unknown>)[POLLUTED], undefined)
        }
  assert.ok(tried > 10, `${tried} tried`)
})

/** Two members of SE Evidence that nobody reads here. */
const PASSED = /^encr_/

test('a member that stands twice is refused in every form, were it the same twice', () => {
  let tried = 0
  for (const target of PARSERS)
    for (const sample of target.corpus.filter(isObject)) {
      const text = fromUtf8('json', 'text', sample)
      for (const [name, value] of Object.entries(JSON.parse(text) as object)) {
        if (PASSED.test(name)) continue
        tried++
        const twice = text.replace('{', `{${JSON.stringify(name)}:${JSON.stringify(value)},`)
        assert.throws(
          () => target.run(toUtf8(twice)),
          FormatError,
          `${target.name}: ${name} ${text.slice(0, 60)}`,
        )
      }
    }
  assert.ok(tried > 30, `${tried} tried`)
})

test('a CBOR map holds __proto__ as any other key', () => {
  const bytes = encodeCbor(
    cborMap([
      ['__proto__', cborText(POLLUTED)],
      ['constructor', cborInt(1)],
    ]),
  )
  const item = parseCbor('test', bytes)
  assert.ok(item.kind === 'map' && item.entries instanceof Map)
  assert.deepEqual([...item.entries.keys()], ['__proto__', 'constructor'])
  assert.equal(({} as Record<string, unknown>)[POLLUTED], undefined)
})

test('results go through JSON and come back the same', async () => {
  const amd = new FakeAmd()
  const report = newSnpReport(GENOA_GUEST)
  const words = { launchMitigationVector: 0xffff_ffff_ffff_ffffn, currentMitigationVector: 1n }
  const snp = await amd.appraise(amd.evidence({ ...report, version: 5, ...words }), {
    expect: ANY_SNP,
    now: NOW,
  })
  assert.equal(snp.status, 'affirming')
  assert.equal(snp.claims.launchMitigationVector, '0xffffffffffffffff')
  const aws = new FakeAws()
  const nitro = await appraiseNitroUnder(aws.fingerprint, aws.document(), {
    expect: ANY_NITRO,
    now: NOW,
  })
  assert.equal(nitro.status, 'affirming')
  for (const result of [snp, nitro])
    assert.deepEqual(JSON.parse(JSON.stringify(result)), { ...result })
})

function isObject(sample: Uint8Array): boolean {
  if (sample[0] !== 0x7b) return false
  try {
    JSON.parse(fromUtf8('json', 'text', sample))
    return true
  } catch {
    return false
  }
}

function isJson(sample: Uint8Array): boolean {
  return sample[0] === 0x7b || sample[0] === 0x5b
}

/** The text with the member at the start of one object at a time; not of an empty one. */
function* withMember(text: string, member: string): Generator<string> {
  for (let at = text.indexOf('{'); at >= 0; at = text.indexOf('{', at + 1)) {
    if (text[at + 1] === '}') continue
    yield text.slice(0, at + 1) + member + text.slice(at + 1)
  }
}

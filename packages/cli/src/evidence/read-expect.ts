/** Reads `--expect`: `any`, or `field=hex` and `field=any`, a field's values being alternatives. */
import { CloisterError } from '@cloister/protocol/error'
import type { EvidenceTee } from './tees.ts'

type Expect = Record<string, 'any' | string[]>

/** @throws CloisterError `cli.usage` when a demanded field is neither expected nor `any` */
export function readExpect(
  words: readonly string[],
  { demanded, optional }: Pick<EvidenceTee, 'demanded' | 'optional'>,
): Expect {
  const known = [...demanded, ...optional]
  const expect: Expect = {}
  for (const word of words) {
    if (word === 'any') for (const field of demanded) expect[field] ??= 'any'
    else readWord(word, known, expect)
  }
  const missing = demanded.filter((field) => expect[field] === undefined)
  if (missing.length === 0) return expect
  throw new CloisterError('cli.usage', {
    why: 'nothing is skipped because it was left out',
    expected: `--expect ${missing.map((field) => `${field}=HEX|any`).join(' --expect ')}, or --expect any`,
    received: words.length === 0 ? 'no --expect' : words.join(' ').slice(0, 200),
  })
}

function readWord(word: string, known: readonly string[], expect: Expect): void {
  const at = word.indexOf('=')
  const field = known.find((name) => normalise(name) === normalise(word.slice(0, at)))
  const value = word.slice(at + 1)
  if (at === -1 || field === undefined)
    throw new CloisterError('cli.usage', {
      why: '--expect is malformed',
      expected: `any, or FIELD=HEX with a FIELD of ${known.join(', ')}`,
      received: word.slice(0, 200),
    })
  const hex = value.replace(/^0x/, '').toLowerCase()
  if (value === 'any') expect[field] = 'any'
  else if (!/^(?:[0-9a-f]{2})+$/.test(hex))
    throw new CloisterError('cli.usage', {
      why: 'an expected value is not hex',
      where: field,
      received: value.slice(0, 200),
    })
  else {
    const before = expect[field]
    expect[field] = Array.isArray(before) ? [...before, hex] : [hex]
  }
}

/** `report_data`, `report-data`, `reportData` and `REPORTDATA` are one name. */
function normalise(name: string): string {
  return name.replaceAll(/[-_]/g, '').toLowerCase()
}

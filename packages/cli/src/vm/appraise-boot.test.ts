import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { appraiseBoot, integrityExit, readBaseline } from './appraise-boot.ts'
import { integrityText } from './integrity-text.ts'
import { paint } from '../paint.ts'

const BOOTS = new URL('../../../verifier/test/boots/', import.meta.url)
const log = (name: string) => readFileSync(new URL(`${name}.bin`, BOOTS))

async function learned() {
  const { learned: baseline } = await appraiseBoot(log('first'), undefined)
  assert.ok(baseline !== undefined)
  // As hostd keeps it.
  return readBaseline(JSON.parse(JSON.stringify(baseline)))
}

const outcome = (checks: readonly { code: string; outcome: string }[], code: string) =>
  checks.find((check) => check.code === code)?.outcome

test('a boot without a baseline is undecided, and can be learned', async () => {
  const appraisal = await appraiseBoot(log('first'), undefined)
  assert.deepEqual([appraisal.early, appraisal.late], ['unknown', 'unknown'])
  assert.equal(integrityExit(appraisal), 3)
  assert.equal(appraisal.secureBoot, true)
  assert.equal(outcome(appraisal.checks, 'integrity.baseline-missing'), 'undecided')
})

test('the same boot matches what was learned, and is said to be unquoted', async () => {
  const appraisal = await appraiseBoot(log('first'), await learned())
  assert.deepEqual([appraisal.early, appraisal.late], ['match', 'match'])
  assert.equal(integrityExit(appraisal), 0)
  assert.equal(outcome(appraisal.checks, 'integrity.unquoted'), 'not-checked')
  assert.equal(outcome(appraisal.checks, 'event-log.replay-mismatch'), undefined)
})

test('an edited command line is refused, and told with its digests', async () => {
  const appraisal = await appraiseBoot(log('command-line'), await learned())
  assert.equal(integrityExit(appraisal), 2)
  assert.equal(outcome(appraisal.checks, 'integrity.late-boot'), 'fail')
  const baseline = { origin: 'learned', bank: 'sha256', isNew: false }
  const shown = { name: 'web', ...appraisal, baseline, source: 'memory' as const }
  const text = integrityText(shown, { isFull: true }, paint(false))
  assert.match(text, /kernel command line changed \(PCR 8\): .*init=\/bin\/sh/)
  assert.match(text, /expected {2}fa980a8416ec[0-9a-f]{52}\n {12}received {2}3bdc1df5abf1/)
  assert.match(integrityText(shown, { isFull: false }, paint(false)), /next: .*--diff/)
})

test('no log is undecided; one that is none is refused', async () => {
  const baseline = await learned()
  assert.equal(integrityExit(await appraiseBoot(undefined, baseline)), 3)
  const torn = await appraiseBoot(log('first').subarray(0, 5000), baseline)
  assert.equal(outcome(torn.checks, 'event-log.malformed'), 'fail')
  assert.equal(integrityExit(torn), 2)
})

test('an event whose data was changed is found, though its digest was not', async () => {
  const bytes = Buffer.from(log('first'))
  bytes[bytes.indexOf(Buffer.from('Calling EFI Application'))]! ^= 1
  const { checks } = await appraiseBoot(bytes, await learned())
  assert.equal(outcome(checks, 'event-log.digest-mismatch'), 'fail')
})

test('a baseline that is none is refused; of a later version only names are lost', async () => {
  const baseline = await learned()
  for (const other of [{}, { ...baseline, version: 2 }, { ...baseline, more: 1 }, [], null])
    assert.throws(() => readBaseline(other), { code: 'vm.baseline-invalid' })
  const [register] = baseline.registers
  const event = { ...register!.events[0]!, component: 'something new' }
  const later = readBaseline({ ...baseline, registers: [{ ...register!, events: [event] }] })
  assert.equal(later.registers[0]?.events[0]?.component, 'other')
})

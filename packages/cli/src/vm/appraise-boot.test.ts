import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { appraiseBoot, integrityExit, readBaseline } from './appraise-boot.ts'
import { integrityText } from './integrity-text.ts'
import { paint } from '../paint.ts'
import { fakeTpmAnswer, FAKE_TPM_REFERENCES } from '../testing/fake-tpm-answer.ts'
import { EVENT_TYPE } from '@cloister/verifier/eventlog/event-types'
import { TPM_HASHES } from '@cloister/verifier/tpm/algorithms'
import { CloisterError } from '@cloister/protocol/error'
import { encodeTcgLog, parseTcgLog } from '@cloister/verifier/eventlog/tcg-log'
import { judgeQuote, NO_AGENT } from './quoted-boot.ts'

const BOOTS = new URL('../../../verifier/test/boots/', import.meta.url)
const log = (name: string) => readFileSync(new URL(`${name}.bin`, BOOTS))

async function learned() {
  const { learned: baseline } = await appraiseBoot(log('first'), undefined, true, NO_AGENT)
  assert.ok(baseline !== undefined)
  // As hostd keeps it.
  return readBaseline(JSON.parse(JSON.stringify(baseline)))
}

const outcome = (checks: readonly { code: string; outcome: string }[], code: string) =>
  checks.find((check) => check.code === code)?.outcome

test('a boot without a baseline is undecided, and can be learned', async () => {
  const appraisal = await appraiseBoot(log('first'), undefined, true, NO_AGENT)
  assert.deepEqual([appraisal.early, appraisal.late], ['unknown', 'unknown'])
  assert.equal(integrityExit(appraisal), 3)
  assert.equal(appraisal.secureBoot, true)
  assert.equal(outcome(appraisal.checks, 'integrity.baseline-missing'), 'undecided')
})

test('the same boot matches what was learned, and is said to be unquoted', async () => {
  const appraisal = await appraiseBoot(log('first'), await learned(), true, NO_AGENT)
  assert.deepEqual([appraisal.early, appraisal.late], ['match', 'match'])
  assert.equal(integrityExit(appraisal), 0)
  assert.equal(outcome(appraisal.checks, 'integrity.unquoted'), 'not-checked')
  assert.equal(outcome(appraisal.checks, 'event-log.replay-mismatch'), undefined)
})

const NOW = new Date('2026-11-25T00:00:00Z')
const NONCE = new Uint8Array(32).fill(7)
const references = async () => FAKE_TPM_REFERENCES

/** Quoted over the registers of one boot, with the log of one. */
async function quotedBoot(quoted: string, given: string, nonce = NONCE) {
  const answer = await fakeTpmAnswer({ quotedLog: log(quoted), givenLog: log(given), nonce })
  return await judgeQuote(answer, NONCE, references, NOW)
}

test('a fresh quote over the registers of the log stands behind both phases', async () => {
  const { log: given, quote } = await quotedBoot('first', 'first')
  const appraisal = await appraiseBoot(given, await learned(), true, quote)
  assert.deepEqual(appraisal.quoted, { early: true, late: true })
  assert.equal(outcome(appraisal.checks, 'integrity.unquoted'), 'pass')
  assert.equal(outcome(appraisal.checks, 'integrity.quote'), 'pass')
  assert.equal(integrityExit(appraisal), 0)
  const baseline = { origin: 'learned', bank: 'sha256', isNew: false }
  const shown = { name: 'web', ...appraisal, baseline, source: 'agent' as const }
  const text = integrityText(shown, { isFull: false, isRunning: true }, paint(false))
  assert.match(text, /quote {8}fresh, by the certified key/)
})

test('the log of another boot than the quoted one is refused, though it matches the baseline', async () => {
  const { log: given, quote } = await quotedBoot('command-line', 'first')
  const appraisal = await appraiseBoot(given, await learned(), true, quote)
  assert.deepEqual([appraisal.early, appraisal.late], ['match', 'match'])
  assert.deepEqual(appraisal.quoted, { early: false, late: false })
  const refused = appraisal.checks.find(({ code }) => code === 'integrity.quote')
  assert.equal(refused?.outcome, 'fail')
  // That boot had less memory, which its firmware measures.
  assert.equal(refused?.where, 'event-log.replay-mismatch, register 0')
  assert.equal(integrityExit(appraisal), 2)
})

test('a quoted register that the log does not add up to is named', async () => {
  const { quote } = await quotedBoot('first', 'first')
  const { checks, quoted } = await appraiseBoot(log('command-line'), await learned(), true, quote)
  const refused = checks.find(({ code }) => code === 'integrity.quote')
  assert.deepEqual([refused?.outcome, refused?.where], ['fail', 'PCR 0'])
  assert.deepEqual(quoted, { early: false, late: false })
})

test('a log that leaves out all events of a register is refused by the quote', async () => {
  const { quote } = await quotedBoot('first', 'first')
  const whole = parseTcgLog(log('first'))
  const cut = encodeTcgLog({ ...whole, events: whole.events.filter(({ index }) => index !== 9) })
  const { checks, quoted } = await appraiseBoot(cut, undefined, true, quote)
  const refused = checks.find(({ code }) => code === 'integrity.quote')
  assert.deepEqual([refused?.outcome, refused?.where], ['fail', 'PCR 9'])
  assert.deepEqual(quoted, { early: false, late: false })
})

test('an old quote is refused; one that nobody vouches for, or no broker, is said to be none', async () => {
  const old = await quotedBoot('first', 'first', new Uint8Array(32).fill(8))
  const stale = await appraiseBoot(old.log, await learned(), true, old.quote)
  assert.match(
    stale.checks.find(({ code }) => code === 'integrity.quote')?.where ?? '',
    /^tpm\.nonce\.mismatch/,
  )
  const answer = await fakeTpmAnswer({
    quotedLog: log('first'),
    givenLog: log('first'),
    nonce: NONCE,
    certificate: null,
  })
  const bare = await judgeQuote(answer, NONCE, references, NOW)
  const noBroker = await judgeQuote(
    answer,
    NONCE,
    () => Promise.reject(new CloisterError('owner.broker-unpinned')),
    NOW,
  )
  for (const { log: given, quote } of [bare, noBroker]) {
    assert.equal(quote.status, 'none')
    const { checks, quoted } = await appraiseBoot(given, await learned(), true, quote)
    const unquoted = checks.find(({ code }) => code === 'integrity.unquoted')
    assert.equal(unquoted?.outcome, 'not-checked')
    assert.match(unquoted.received ?? '', /certified/)
    assert.deepEqual(quoted, { early: false, late: false })
  }
  const other = await judgeQuote({ ...answer, tee: 'snp' }, NONCE, references, NOW)
  assert.deepEqual([other.quote.status, other.log], ['none', undefined])
})

test('an edited command line is refused, and told with its digests', async () => {
  const appraisal = await appraiseBoot(log('command-line'), await learned(), true, NO_AGENT)
  assert.equal(integrityExit(appraisal), 2)
  assert.equal(outcome(appraisal.checks, 'integrity.late-boot'), 'fail')
  const baseline = { origin: 'learned', bank: 'sha256', isNew: false }
  const shown = { name: 'web', ...appraisal, baseline, source: 'memory' as const }
  const text = integrityText(shown, { isFull: true, isRunning: true }, paint(false))
  assert.match(text, /kernel command line changed \(PCR 8\): .*init=\/bin\/sh/)
  assert.match(text, /expected {2}fa980a8416ec[0-9a-f]{52}\n {12}received {2}3bdc1df5abf1/)
  assert.match(
    integrityText(shown, { isFull: false, isRunning: true }, paint(false)),
    /next: .*--diff/,
  )
})

test('no log is undecided; one that is none is refused', async () => {
  const baseline = await learned()
  const absent = await appraiseBoot(undefined, baseline, true, NO_AGENT)
  assert.equal(integrityExit(absent), 3)
  const shown = { name: 'web', ...absent, baseline: null, source: null }
  for (const [isRunning, next] of [
    [true, /next: cloister vm ssh web -- true/],
    [false, /next: cloister vm start web/],
  ] as const)
    assert.match(integrityText(shown, { isFull: false, isRunning }, paint(false)), next)
  const torn = await appraiseBoot(log('first').subarray(0, 5000), baseline, true, NO_AGENT)
  assert.equal(outcome(torn.checks, 'event-log.malformed'), 'fail')
  assert.equal(integrityExit(torn), 2)
})

test('an event whose data was changed is found, though its digest was not', async () => {
  const bytes = Buffer.from(log('first'))
  bytes[bytes.indexOf(Buffer.from('Calling EFI Application'))]! ^= 1
  const { checks } = await appraiseBoot(bytes, await learned(), true, NO_AGENT)
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

test('a machine made with Secure Boot that boots without it is refused', async () => {
  const bytes = Buffer.from(log('first'))
  const name = Buffer.from('SecureBoot', 'utf16le')
  const place = bytes.indexOf(name) + name.length
  assert.equal(bytes[place], 1)
  // As firmware would have measured it.
  const event = bytes.subarray(place + 1 - 53, place + 1)
  const digests = new Map([32, 48].map((size) => [size, hash(size, event)]))
  event[52] = 0
  for (const [size, before] of digests) hash(size, event).copy(bytes, bytes.indexOf(before))
  const { checks, secureBoot } = await appraiseBoot(bytes, undefined, true, NO_AGENT)
  assert.equal(secureBoot, false)
  assert.equal(outcome(checks, 'event-log.secure-boot-off'), 'fail')
  const lenient = await appraiseBoot(bytes, undefined, false, NO_AGENT)
  assert.equal(outcome(lenient.checks, 'event-log.secure-boot-off'), 'warning')
})

function hash(size: number, data: Uint8Array): Buffer {
  return createHash(size === 32 ? 'sha256' : 'sha384')
    .update(data)
    .digest()
}

test('a log of SHA-1 alone is refused, and another boot loader is a mismatch of the early boot', async () => {
  const data = new Uint8Array(4)
  const digest = createHash('sha1').update(data).digest()
  const old = encodeTcgLog({
    form: 'sha1',
    hashes: [TPM_HASHES.sha1],
    header: new Uint8Array(),
    events: [
      {
        index: 0,
        type: EVENT_TYPE.separator,
        digests: [{ hash: 'sha1', digest }],
        data,
        offset: 0,
      },
    ],
    padding: new Uint8Array(),
  })
  const refused = await appraiseBoot(old, undefined, true, NO_AGENT)
  assert.equal(outcome(refused.checks, 'integrity.bank-missing'), 'fail')
  const other = await appraiseBoot(log('other-loader'), await learned(), true, NO_AGENT)
  assert.equal(outcome(other.checks, 'integrity.early-boot'), 'fail')
})

test('integrityText() tells what was started before the steps of GRUB, and counts those where they are many', async () => {
  const appraisal = await appraiseBoot(log('command-line'), await learned(), true, NO_AGENT)
  const kernel = appraisal.changes.find(({ component }) => component === 'kernel command line')
  assert.ok(kernel)
  const step = { ...kernel, component: 'grub command', subject: 'insmod gzio' } as const
  const baseline = { origin: 'learned', bank: 'sha256', isNew: false }
  const told = (steps: number, isFull: boolean) => {
    const changes = [...Array.from({ length: steps }, () => step), kernel]
    const shown = { name: 'web', ...appraisal, changes, baseline, source: 'memory' as const }
    return integrityText(shown, { isFull, isRunning: true }, paint(false))
      .split('\n')
      .filter((line) => line.startsWith('  differs'))
      .map((line) => line.replace(/^  differs +/, '').replace(/:.*/, ''))
  }
  assert.deepEqual(told(4, false), [
    'kernel command line changed (PCR 8)',
    '4 commands of GRUB (PCR 8)',
  ])
  const few = ['kernel command line changed (PCR 8)', 'grub command changed (PCR 8)']
  assert.deepEqual(told(1, false), few)
  assert.equal(told(4, true).length, 5)
})

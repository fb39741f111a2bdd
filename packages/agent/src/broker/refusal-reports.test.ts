import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { CloisterError } from '@cloister/protocol/error'
import {
  GUEST_REFUSAL_TEXT,
  GuestRefusalSchema,
  type GuestRefusal,
} from '@cloister/protocol/guest-refusal'
import { RefusalReports } from './refusal-reports.ts'

const never = new AbortController().signal

/** Reports to a broker that is a function, and what it was told. */
function reports(tell: () => Promise<boolean> = async () => true) {
  const told: GuestRefusal[] = []
  const client = {
    tellRefusal: async (refusal: GuestRefusal) => {
      told.push(refusal)
      return await tell()
    },
  }
  return { told, reports: new RefusalReports(client, 50) }
}

describe('RefusalReports', () => {
  test('tells code, place, expected and received, and nothing else of an error', async () => {
    const { told, reports: r } = reports()
    r.attested(true)
    await r.tell(
      new CloisterError('image.digest-mismatch', {
        why: 'free words',
        where: 'manifest',
        expected: 'a',
        received: 'b',
        cause: new Error('inner'),
      }),
      never,
    )
    assert.deepEqual(told, [
      { code: 'image.digest-mismatch', where: 'manifest', expected: 'a', received: 'b' },
    ])
  })

  test('waits for the attestation, and tells nothing when there is none', async () => {
    const early = reports()
    const telling = early.reports.tell(new CloisterError('agent.request-denied'), never)
    assert.equal(early.told.length, 0)
    early.reports.attested(true)
    await telling
    assert.equal(early.told.length, 1)
    const refused = reports()
    refused.reports.attested(false)
    await refused.reports.tell(new CloisterError('agent.request-denied'), never)
    assert.equal(refused.told.length, 0)
  })

  test('settles in time whatever the broker does', async () => {
    const error = new CloisterError('agent.request-denied')
    const silent = reports(() => new Promise(() => undefined))
    silent.reports.attested(true)
    await silent.reports.tell(error, never)
    const failing = reports(() => Promise.reject(new Error('down')))
    failing.reports.attested(true)
    await failing.reports.tell(error, never)
    const waiting = reports()
    await waiting.reports.tell(error, never)
    assert.equal(waiting.told.length, 0)
  })

  test('tells the same once, and eight at most', async () => {
    const { told, reports: r } = reports()
    r.attested(true)
    for (let index = 0; index < 20; index++)
      for (const received of [`request ${index}`, `request ${index}`])
        await r.tell(new CloisterError('agent.request-denied', { received }), never)
    assert.equal(told.length, 8)
  })

  test('keeps to itself what the broker knows, and what is a defect', async () => {
    const { told, reports: r } = reports()
    r.attested(true)
    for (const code of [
      'agent.attestation-refused',
      'agent.resource-refused',
      'agent.broker-unreachable',
    ] as const)
      await r.tell(new CloisterError(code), never)
    await r.tell(new Error('words that nobody has weighed'), never)
    assert.deepEqual(told, [])
  })

  test('tells the reason where nothing was compared', async () => {
    const { told, reports: r } = reports()
    r.attested(true)
    const where = '"etc/through"'
    await r.tell(new CloisterError('image.entry-refused', { where, why: 'a link' }), never)
    const compared = { expected: 'a', received: 'b', why: 'they differ' }
    await r.tell(new CloisterError('image.digest-mismatch', compared), never)
    assert.deepEqual(told, [
      { code: 'image.entry-refused', where, received: 'a link' },
      { code: 'image.digest-mismatch', expected: 'a', received: 'b' },
    ])
  })

  test('cuts texts to what the broker takes', async () => {
    const { told, reports: r } = reports()
    r.attested(true)
    const long = '\u{1F600}'.repeat(GUEST_REFUSAL_TEXT)
    await r.tell(new CloisterError('image.digest-mismatch', { received: long }), never)
    assert.ok(GuestRefusalSchema.safeParse(told[0]).success)
  })
})

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { appraise, TEE_NAMES } from '../src/appraisal/appraise.ts'
import type { Tee } from '../src/appraisal/appraise.ts'
import { ANY_CCA, ANY_ENCLAVE, ANY_NITRO, ANY_SNP, ANY_TD } from '../src/testing/any-expectation.ts'

// Each member of each policy is told on the page of its TEE.

const PAGES: Readonly<Record<Tee, readonly string[]>> = {
  snp: ['snp'],
  tdx: ['tdx'],
  sgx: ['sgx', 'tdx'],
  'az-snp': ['azure', 'snp', 'tpm'],
  'az-tdx': ['azure', 'tdx', 'tpm'],
  tpm: ['tpm', 'eventlog'],
  nitro: ['nitro'],
  cca: ['cca'],
  nvidia: ['nvidia'],
  se: ['se'],
}
const any = (...fields: readonly string[]) =>
  Object.fromEntries(fields.map((name) => [name, 'any']))
const ANY_PCRS = any(...Array.from({ length: 24 }, (_, index) => `pcr${index}`))
const EXPECT: Readonly<Record<Tee, object>> = {
  snp: ANY_SNP,
  tdx: ANY_TD,
  sgx: ANY_ENCLAVE,
  'az-snp': { ...ANY_SNP, ...ANY_PCRS },
  'az-tdx': { ...ANY_TD, ...ANY_PCRS },
  tpm: { ...any('reportData', 'ak'), ...ANY_PCRS },
  nitro: ANY_NITRO,
  cca: ANY_CCA,
  nvidia: any('nonce'),
  se: any('imageHeaderTags', 'userData'),
}

/** The members that the refusal of an unknown one lists. */
async function membersOf(tee: Tee): Promise<readonly string[]> {
  const options = {
    tee,
    expect: EXPECT[tee],
    now: new Date(0),
    policy: { unheardOf: true },
    measurementKey: new Uint8Array(64),
  }
  const refusal = await appraise(new Uint8Array(8), options as never).then(
    () => undefined,
    (error: unknown) => error,
  )
  assert.ok(refusal instanceof TypeError, tee)
  const listed = /known are (.+)$/.exec(refusal.message)?.[1]
  assert.ok(listed !== undefined, `${tee}: ${refusal.message}`)
  return listed.split(', ')
}

for (const tee of TEE_NAMES)
  test(`every member of the policy of ${tee} stands on its page`, async () => {
    const text = PAGES[tee]
      .map((page) => new URL(`../../../docs/reference/evidence-${page}.md`, import.meta.url))
      .map((page) => readFileSync(page, 'utf8'))
      .join('\n')
    const members = await membersOf(tee)
    assert.ok(members.length > 1)
    assert.deepEqual(
      members.filter((name) => !text.includes(`\`${name}`) && !text.includes(`policy.${name}`)),
      [],
    )
  })

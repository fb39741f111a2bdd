import assert from 'node:assert/strict'
import { test } from 'node:test'
import { runtimeCrypto } from '#crypto'
import { FormatError } from '../bytes/format-error.ts'
import { toHex } from '../bytes/hex.ts'
import { FakeSev } from '../testing/fake-sev.ts'
import { vector, WITH_VECTORS } from '../testing/vectors.ts'
import { parseAmdCertificate, parsePlatformCertificate, SEV_USAGE } from './certificate.ts'
import { SEV_ROOTS, SevChainError, verifySevChain } from './chain.ts'

const platform = new FakeSev()
const { chain, roots } = platform

test("verifySevChain() gives the key of the platform's PDH", async () => {
  const { line, pdh } = await verifySevChain(chain, roots)
  assert.equal(line, 'fake')
  assert.deepEqual(pdh, parsePlatformCertificate(chain.subarray(0, 2084)).spki)
})

test('verifySevChain() knows the roots of AMD alone', async () => {
  await assert.rejects(verifySevChain(chain), { link: 'ARK' })
})

const PLACES = [
  ['PDH', 0x20],
  ['PEK', 2084 + 0x20],
  ['OCA', 2 * 2084 + 0x20],
  ['CEK', 3 * 2084 + 0x20],
  ['ASK', 4 * 2084 + 64 + 300],
  ['ARK', 4 * 2084 + 832 + 64 + 300],
] as const

for (const [link, offset] of PLACES)
  test(`verifySevChain() refuses a changed ${link}`, async () => {
    const changed = Uint8Array.from(chain)
    changed[offset] = (changed[offset] ?? 0) ^ 1
    await assert.rejects(
      verifySevChain(changed, roots),
      (error) => error instanceof SevChainError && error.link === link,
    )
  })

test('verifySevChain() wants both signatures of the PEK', async () => {
  for (const place of [0x414, 0x61c]) {
    const changed = Uint8Array.from(chain)
    // What says by whom it is signed.
    changed.set([0, 0x10, 0, 0], 2084 + place)
    await assert.rejects(verifySevChain(changed, roots), { link: 'PEK' })
  }
})

test('verifySevChain() refuses certificates in the place of others, and what is cut or longer', async () => {
  const swapped = Uint8Array.from(chain)
  swapped.set(chain.subarray(2084, 2 * 2084), 0)
  await assert.rejects(verifySevChain(swapped, roots), { link: 'PDH' })
  for (const bytes of [
    new Uint8Array(),
    chain.subarray(0, 2083),
    chain.subarray(0, -1),
    Uint8Array.from([...chain, 0]),
  ])
    await assert.rejects(verifySevChain(bytes, roots), FormatError)
})

test('the roots are those that AMD publishes, and each signs its ASK', WITH_VECTORS, async () => {
  for (const { line, fingerprint } of SEV_ROOTS) {
    const read = (name: string) =>
      parseAmdCertificate(vector(`roots/amd-sevformat-${name}-${line.toLowerCase()}.cert`))
        .certificate
    const [ark, ask] = [read('ark'), read('ask')]
    assert.equal(toHex(await runtimeCrypto.digest('SHA-256', ark.body)), fingerprint, line)
    assert.deepEqual([ark.usage, ask.usage], [SEV_USAGE.ark, SEV_USAGE.ask])
    const scheme = ark.algorithm === 'rsa-sha256' ? 'rsa-pss-sha256' : 'rsa-pss-sha384'
    const key = await runtimeCrypto.importPublicKey(ark.spki, scheme)
    assert.ok(key && (await runtimeCrypto.verify(key, ask.body, ask.signature)), line)
  }
})

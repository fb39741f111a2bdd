import assert from 'node:assert/strict'
import { test } from 'node:test'
import { assert as property, asyncProperty, constantFrom, jsonValue } from 'fast-check'
import { parseSnpEvidenceJson } from '@cloister/verifier/snp/evidence-json'
import { refusal } from '../testing/rcar-client.ts'
import { hardwareWorld } from '../testing/world.ts'

/** Replaces the value at a path of keys. */
function replaced(value: unknown, path: readonly string[], by: unknown): unknown {
  const [key, ...rest] = path
  if (key === undefined) return by
  const object = value as Record<string, unknown>
  const copy = (Array.isArray(value) ? [...(value as unknown[])] : { ...object }) as typeof object
  copy[key] = replaced(object[key], rest, by)
  return copy
}

/** Paths of all leaves, but only the first items of long arrays. */
function leaves(value: unknown, path: readonly string[] = []): string[][] {
  if (typeof value !== 'object' || value === null) return [[...path]]
  const entries = Object.entries(value).slice(0, 60)
  return entries.flatMap(([key, item]) => [[...path, key], ...leaves(item, [...path, key])])
}

/** Whether both stand for the same 1184 bytes: a word that is zero may be absent. */
function hasSameReport(one: unknown, other: unknown): boolean {
  return Buffer.from(reportIn(one)).equals(reportIn(other))
}

function reportIn(attestation: unknown): Uint8Array {
  const { 'tee-evidence': evidence } = attestation as {
    readonly 'tee-evidence': { readonly primary_evidence: unknown }
  }
  return parseSnpEvidenceJson(evidence.primary_evidence).report
}

test('a mutated attestation is refused with a code, and never a failure of ours', async () => {
  const bugs: unknown[] = []
  await using world = await hardwareWorld({ onBug: (error) => bugs.push(error) })
  const { client } = world.t
  const guest = world.guest()
  const paths = leaves(client.attestation(await client.auth(), guest))
  // Seen to be taken, and rightly so.
  const mitigationVectors = paths.filter((path) => path.at(-1)?.endsWith('mit_vector'))
  await property(
    asyncProperty(constantFrom(...paths), jsonValue(), async (path, value) => {
      const challenge = await client.auth()
      const attestation = client.attestation(challenge, guest)
      const mutated = replaced(attestation, path, value)
      if (JSON.stringify(mutated) === JSON.stringify(attestation)) return
      const answer = await client.send(challenge, mutated)
      // Leaving initdata or certificates out can be right, and so can another spelling of the very report that was signed; nothing else is.
      if (answer.status === 200)
        assert.ok(
          /init-data|cert_chain/.test(path.join('.')) || hasSameReport(mutated, attestation),
          path.join('.'),
        )
      else {
        const { status, code } = refusal(answer)
        assert.equal(status, 401)
        assert.match(String(code), /^(attestation\.refused|request\.malformed)$/)
      }
    }),
    { numRuns: 150, examples: mitigationVectors.map((path): [string[], null] => [path, null]) },
  )
  assert.deepEqual(bugs, [])
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { newSnpReport } from '../src/snp/report-template.ts'
import { ANY_SNP, ANY_TD } from '../src/testing/any-expectation.ts'
import { FakeAmd, GENOA_GUEST } from '../src/testing/fake-amd.ts'
import { FAKE_TD, FakeIntel } from '../src/testing/fake-intel.ts'

// What is given as a revocation list or as collateral and is none that counts never ends in anything but a refusal or no decision.

const NOW = new Date('2026-06-01T00:00:00Z')
const DAY = 86_400_000
const at = (days: number) => new Date(NOW.getTime() + days * DAY)

/** Ways in which a list does not count, from a good one and one by another authority. */
function badLists(
  make: (from: Date, until: Date) => Uint8Array,
  foreign: (from: Date, until: Date) => Uint8Array,
): Readonly<Record<string, Uint8Array>> {
  const good = make(at(-1), at(1))
  const unsigned = good.slice()
  unsigned[unsigned.length - 1] = (unsigned.at(-1) as number) ^ 1
  return {
    garbage: Uint8Array.of(0xde, 0xad, 0xbe, 0xef),
    empty: new Uint8Array(),
    cut: good.subarray(0, -1),
    longer: Uint8Array.of(...good, 0),
    foreign: foreign(at(-1), at(1)),
    expired: make(at(-2), at(-1)),
    'not yet valid': make(at(1), at(2)),
    'with another signature': unsigned,
  }
}

test('SNP: only a list of the line’s root that is in date counts', async () => {
  const amd = new FakeAmd()
  const evidence = amd.evidence(newSnpReport(GENOA_GUEST))
  const statusWith = async (...revocationLists: readonly Uint8Array[]) =>
    (
      await amd.appraise(evidence, {
        expect: ANY_SNP,
        now: NOW,
        policy: { requireRevocationList: true },
        endorsements: { revocationLists },
      })
    ).status
  const make = (from: Date, until: Date) => amd.revocationList(from, until)
  assert.equal(await statusWith(make(at(-1), at(1))), 'affirming')
  assert.equal(await statusWith(), 'none')
  const bad = badLists(make, (from, until) => new FakeAmd().revocationList(from, until))
  for (const [what, list] of Object.entries(bad))
    assert.match(await statusWith(list), /contraindicated|none/, what)
})

test('TDX: only lists of the two authorities that are in date count', async () => {
  const intel = new FakeIntel()
  const quote = intel.quote({ kind: 'tdx', report: FAKE_TD })
  const collateral = intel.endorsements('tdx', at(-1), at(1))
  const statusWith = async (revocationLists: readonly Uint8Array[]) =>
    (
      await intel.appraiseTdx(quote, {
        expect: ANY_TD,
        now: NOW,
        endorsements: { ...collateral, revocationLists },
      })
    ).status
  const [root, ca] = collateral.revocationLists as [Uint8Array, Uint8Array]
  assert.equal(await statusWith([root, ca]), 'affirming')
  assert.equal(await statusWith([root]), 'none')
  const other = new FakeIntel()
  for (const which of ['root', 'ca'] as const) {
    const bad = badLists(
      (from, until) => intel.list(which, from, until),
      (from, until) => other.list(which, from, until),
    )
    for (const [what, list] of Object.entries(bad)) {
      const lists = which === 'root' ? [list, ca] : [root, list]
      assert.match(await statusWith(lists), /contraindicated|none/, `${which} ${what}`)
    }
  }
})

test('TDX: collateral counts neither before its issue nor after its next update, nor under another root', async () => {
  const intel = new FakeIntel()
  const quote = intel.quote({ kind: 'tdx', report: FAKE_TD })
  const good = intel.endorsements('tdx', at(-1), at(1))
  const other = new FakeIntel().endorsements('tdx', at(-1), at(1))
  const statusWith = async (part: Partial<typeof good>) =>
    (
      await intel.appraiseTdx(quote, {
        expect: ANY_TD,
        now: NOW,
        endorsements: { ...good, ...part },
      })
    ).status
  assert.equal(await statusWith({}), 'affirming')
  const late = intel.endorsements('tdx', at(1), at(2))
  const early = intel.endorsements('tdx', at(-2), at(-1))
  for (const member of ['tcbInfos', 'qeIdentities', 'revocationLists'] as const)
    for (const wrong of [late, early, other])
      assert.match(await statusWith({ [member]: wrong[member] }), /contraindicated|none/, member)
  assert.match(await statusWith(other), /contraindicated|none/)
})

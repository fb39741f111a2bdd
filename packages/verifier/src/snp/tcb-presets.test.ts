import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FakeAmd } from '../testing/fake-amd.ts'
import { productLineOf } from './product.ts'
import { newSnpReport } from './report-template.ts'
import { TCB_PRESETS, tcbFloorOf } from './tcb-presets.ts'
import type { TcbFloor, TcbPreset } from './tcb-presets.ts'

const NAMES = Object.keys(TCB_PRESETS) as TcbPreset[]
const EXPECT = { reportData: 'any', measurement: 'any', hostData: 'any' } as const

test('a later preset is never laxer than an earlier one for a processor that both know', () => {
  for (const [index, name] of NAMES.entries())
    for (const later of NAMES.slice(index + 1))
      for (const old of TCB_PRESETS[name] as readonly TcbFloor[]) {
        const floor = tcbFloorOf(later, old.processor)
        if (floor === undefined) continue
        assert.ok((floor.tcb.snp ?? 0) >= (old.tcb.snp ?? 0), `${later} ${old.part}`)
        assert.ok((floor.tcb.microcode ?? 0) >= (old.tcb.microcode ?? 0), `${later} ${old.part}`)
        assert.ok(
          old.bulletins.every((id) => floor.bulletins.includes(id)),
          `${later} ${old.part}`,
        )
      }
})

test('every figure is of a known processor, has its bulletins, and is there once', () => {
  for (const name of NAMES)
    for (const { part, processor, bulletins } of TCB_PRESETS[name] as readonly TcbFloor[]) {
      assert.ok(productLineOf(processor) !== undefined, part)
      assert.ok(bulletins.length > 0 && bulletins.every((id) => /^AMD-SB-\d{4}$/.test(id)), part)
      assert.equal(tcbFloorOf(name, processor)?.part, part)
    }
  assert.equal(tcbFloorOf('2026-04', undefined), undefined)
  assert.equal(tcbFloorOf('2026-04', { family: 0x1a, model: 0x11, stepping: 0 }), undefined)
})

test('each processor at exactly its figures is up to date, one below is not, and the check names the bulletins', async () => {
  for (const name of NAMES)
    for (const { part, processor, tcb, bulletins } of TCB_PRESETS[name] as readonly TcbFloor[]) {
      const line = productLineOf(processor) ?? assert.fail(part)
      const amd = new FakeAmd({ line })
      const chipId = new Uint8Array(64).fill(7, 0, line === 'Turin' ? 8 : 64)
      const appraise = (microcode: number) => {
        const fmc = line === 'Turin' ? 0 : null
        const report = newSnpReport({
          processor,
          tcb: { fmc, bootloader: 0, tee: 0, snp: tcb.snp ?? 0, microcode },
          firmware: { major: 1, minor: 55, build: 40 },
          chipId,
          measurement: new Uint8Array(48),
          reportData: new Uint8Array(64),
        })
        return amd.appraise(amd.evidence(report), {
          expect: EXPECT,
          now: new Date('2026-06-01'),
          policy: { minimumTcbPreset: name, enrolledChips: [Buffer.from(chipId).toString('hex')] },
        })
      }
      const good = await appraise(tcb.microcode ?? 0)
      assert.deepEqual([good.status, good.tcbStatus], ['affirming', 'UpToDate'], `${name} ${part}`)
      const old = await appraise((tcb.microcode ?? 0) - 1)
      assert.deepEqual([old.status, old.tcbStatus], ['contraindicated', 'OutOfDate'])
      const failed = old.checks.filter(({ outcome }) => outcome === 'fail')
      assert.equal(failed.length, 4)
      for (const { code, expected } of failed) {
        assert.equal(code, 'snp.tcb.below-preset')
        assert.ok(
          bulletins.every((id) => expected?.includes(id)),
          expected,
        )
      }
    }
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { correctClock } from './clock.ts'

const EPOCH = 1_700_000_000
const TEN_YEARS = 10 * 365 * 86_400_000

async function corrected(
  clockOffset: number,
  date: string | undefined,
): Promise<number | undefined> {
  const truth = EPOCH * 1000 + 86_400_000
  let set: number | undefined
  const clock = {
    now: () => truth + clockOffset,
    set: async (time: number) => {
      set = time
    },
  }
  await correctClock(clock, date, EPOCH)
  return set
}

test('correctClock() follows the broker when the host is ten years off, either way', async () => {
  const date = new Date(EPOCH * 1000 + 86_400_000).toUTCString()
  const truth = Date.parse(date)
  assert.equal(await corrected(TEN_YEARS, date), truth)
  assert.equal(await corrected(-TEN_YEARS, date), truth)
})

test('correctClock() leaves small differences, and refuses a time before the image', async () => {
  assert.equal(await corrected(1000, new Date(EPOCH * 1000 + 86_400_000).toUTCString()), undefined)
  assert.equal(await corrected(TEN_YEARS, new Date(0).toUTCString()), undefined)
  assert.equal(await corrected(TEN_YEARS, undefined), undefined)
  assert.equal(await corrected(TEN_YEARS, 'soon'), undefined)
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CloisterError } from '@cloister/protocol/error'
import { BootWatch, STAGE_DEADLINES } from './boot-watch.ts'

test('BootWatch is late after the stage whose next one does not come, and says which', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const watch = new BootWatch(STAGE_DEADLINES)
  watch.reached('launch')
  t.mock.timers.tick(STAGE_DEADLINES.launch - 1)
  watch.reached('initrd')
  t.mock.timers.tick(STAGE_DEADLINES.initrd)
  const settled: unknown = await Promise.race([
    watch.late,
    new Promise((resolve) => setImmediate(resolve)),
  ]).catch((error: unknown) => error)
  watch.stop()
  assert.ok(settled instanceof CloisterError, 'never late')
  assert.equal(settled.code, 'guest.stage-timeout')
  assert.equal(settled.details.where, 'guest, after stage initrd')
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { VmView } from '@cloister/protocol/hostd-vm-api'
import { diskText } from './vm-text.ts'

test('diskText() says whose size is which where they differ', () => {
  const text = (view: Partial<VmView>) => diskText(view as VmView)
  assert.equal(text({ diskMiB: 4096 }), 'disk 4096 MiB')
  assert.equal(
    text({ diskMiB: 6900, guestDiskMiB: 4015 }),
    'encrypted disk 4015 MiB for the guest (6900 MiB on the host)',
  )
})

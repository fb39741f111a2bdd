/** A QEMU that knows SNP takes the driver's whole command line: without SNP hardware it stops where it would ask KVM. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { snp } from '../src/drivers/snp.ts'
import { startVm } from '../src/start-vm.ts'
import { fakeHostView, GENOA_SNP } from '../src/testing/hosts.ts'
import { describeGuest, findGuest, type TestGuest } from './guest.ts'

const found = await findGuest()
const guest = found as TestGuest
const lacksSnp = typeof found !== 'string' && !found.host.qemu.objects.has('sev-snp-guest')
const skip =
  typeof found === 'string' ? found : lacksSnp && 'this QEMU has no sev-snp-guest (9.1 and newer)'

test('QEMU parses the command line of the snp driver', { skip, timeout: 60_000 }, async (t) => {
  const view = fakeHostView(GENOA_SNP)
  const spec = await describeGuest(t, guest, {
    tee: 'snp',
    mode: 'hardware',
    boot: guest.boot,
    idBlock: {
      block: new Uint8Array(96),
      authentication: new Uint8Array(4096),
      hasAuthorKey: true,
    },
  })
  // The driver asks for KVM; QEMU itself is started under emulation, which it refuses for SNP after it has read all.
  const ready = await snp.arguments(spec, { accelerator: 'kvm', view })
  t.mock.method(snp, 'arguments', () => Promise.resolve(ready))
  const failure = await startVm(spec, { ...guest.host, view }).then(
    () => undefined,
    (error: unknown) => error,
  )
  assert.equal((failure as { code?: string }).code, 'qemu.start-failed')
  assert.match(
    String((failure as { details?: { received?: string } }).details?.received),
    /KVM required/,
  )
})

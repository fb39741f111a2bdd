import assert from 'node:assert/strict'
import { test } from 'node:test'
import { probeHost } from '@cloister/launcher/probe/probe-host'
import * as hosts from '@cloister/launcher/testing/hosts'
import { directories } from '@cloister/protocol/directories'
import { isCode } from '@cloister/protocol/testing'
import { chooseVmTee } from './choose-vm-tee.ts'

const places = directories({ CLOISTER_HOME: '/none' })
const signal = new AbortController().signal

const choose = (host: hosts.FakeHost) =>
  chooseVmTee('auto', places, signal, (request) =>
    probeHost({
      ...request,
      view: hosts.fakeHostView(host),
      accelerator: { accelerator: 'kvm' },
    }),
  )

test('the strongest TEE of the host is taken, also one under which VMs alone run', async () => {
  assert.equal(await choose(hosts.GENOA_SNP), 'snp')
  assert.equal(await choose(hosts.XEON_TDX), 'tdx')
  assert.equal(await choose(hosts.NAPLES), 'sev-es')
})

test('simulation and none are taken only where they were asked for', async () => {
  for (const host of [hosts.XEON_NO_QGS, hosts.PLAIN_VM])
    await assert.rejects(choose(host), isCode('tee.none'))
  const never = () => Promise.reject(new Error('not asked for'))
  for (const tee of ['simulated', 'none', 'snp'] as const)
    assert.equal(await chooseVmTee(tee, places, signal, never), tee)
})

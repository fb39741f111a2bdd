import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { duplexPair, type Duplex } from 'node:stream'
import { test } from 'node:test'
import { isCode } from '@cloister/protocol/testing'
import { newSnpReport, type ReportTemplate } from '@cloister/verifier/snp/report-template'
import { encodeSnpReport } from '@cloister/verifier/snp/report'
import { snpAttester, type ReportSource } from './attester.ts'
import { configfsSource } from './configfs-tsm.ts'
import { simulatedSource } from './simulated.ts'
import { attesterFor, reportsFrom } from './table.ts'

const REPORT_DATA = new Uint8Array(64).fill(7)

function reportOver(reportData: Uint8Array, overrides: Partial<ReportTemplate> = {}): Uint8Array {
  return encodeSnpReport(
    newSnpReport({
      processor: { family: 0x19, model: 0x11, stepping: 1 },
      tcb: { fmc: null, bootloader: 1, tee: 1, snp: 1, microcode: 1 },
      firmware: { major: 1, minor: 55, build: 1 },
      chipId: new Uint8Array(64),
      measurement: new Uint8Array(48),
      hostData: new Uint8Array(32).fill(3),
      reportData,
      ...overrides,
    }),
  )
}

const source =
  (overrides?: Partial<ReportTemplate>): ReportSource =>
  async (reportData) => ({
    report: reportOver(reportData, overrides),
    certificates: new Uint8Array(),
  })

test('an attester gives HOST_DATA and the KBS form', async () => {
  const evidence = await snpAttester(source()).attest(REPORT_DATA)
  assert.deepEqual(Buffer.from(evidence.hostData), Buffer.alloc(32, 3))
  const json = JSON.parse(evidence.json) as { attestation_report: { report_data: number[] } }
  assert.deepEqual(json.attestation_report.report_data, [...REPORT_DATA])
})

test('a report over other bytes, of another VMPL, or of no such form is refused', async () => {
  const failing: ReportSource[] = [
    source({ reportData: new Uint8Array(64) }),
    source({ vmpl: 1 }),
    async () => ({ report: new Uint8Array(10), certificates: new Uint8Array() }),
    async (reportData) => ({
      report: reportOver(reportData),
      certificates: new Uint8Array(24).fill(1),
    }),
  ]
  for (const broken of failing)
    await assert.rejects(snpAttester(broken).attest(REPORT_DATA), isCode('agent.report-failed'))
})

test('one question after the other, and a failed one does not stop the next', async () => {
  let running = 0
  let failures = 1
  const attester = snpAttester(async (reportData) => {
    assert.equal(++running, 1)
    await new Promise(setImmediate)
    running--
    if (failures-- > 0) throw new Error('once')
    return source()(reportData)
  })
  const first = attester.attest(REPORT_DATA)
  const second = attester.attest(REPORT_DATA)
  await assert.rejects(first, /once/)
  await second
})

function simulator(
  answer: (request: { id: string; reportData: string }) => string | undefined,
): Duplex {
  const [guest, host] = duplexPair()
  host.on('data', (chunk: Buffer) => {
    const text = answer(JSON.parse(chunk.toString()) as { id: string; reportData: string })
    if (text !== undefined) host.write(text)
  })
  return guest
}

test('the simulated source takes the answer to its own question, whatever else comes', async () => {
  const port = simulator(({ id, reportData }) => {
    const report = Buffer.from(reportOver(Buffer.from(reportData, 'hex'))).toString('base64')
    const own = JSON.stringify({ id, report, certificates: '' })
    const other = JSON.stringify({ id: 'f'.repeat(16), error: 'failed' })
    return `half of an ans\n${other}\n{"id":1}\n${own}\n`
  })
  await snpAttester(simulatedSource(port)).attest(REPORT_DATA)
})

test('the simulated source reports a refusal', async () => {
  const port = simulator(({ id }) => `${JSON.stringify({ id, error: 'failed' })}\n`)
  await assert.rejects(simulatedSource(port)(REPORT_DATA), isCode('agent.report-failed'))
})

test('configfs-tsm that is not there is told', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'cloister-tsm-'))
  t.after(() => rm(directory, { recursive: true }))
  const absent = configfsSource(join(directory, 'absent'))
  await assert.rejects(absent(REPORT_DATA), isCode('agent.report-failed'))
  // A plain directory gets no attributes from a kernel.
  await assert.rejects(configfsSource(directory)(REPORT_DATA), isCode('agent.report-failed'))
})

test('the mode decides, and neither way around', async () => {
  assert.throws(() => reportsFrom('hardware', false), isCode('agent.tee-absent'))
  assert.throws(() => reportsFrom('simulated', true), isCode('agent.tee-unexpected'))
  assert.throws(() => reportsFrom('probe', true), isCode('agent.mode-unknown'))
  assert.equal(reportsFrom('hardware', true), 'kernel')
  assert.equal(reportsFrom('debug', true), 'kernel')
  assert.equal(reportsFrom('debug', false), 'simulator')
  let opened = 0
  const teePort = () => {
    opened++
    return duplexPair()[0]
  }
  await attesterFor(reportsFrom('hardware', true), { teePort, provider: async () => 'sev_guest' })
  assert.equal(opened, 0, 'hardware mode never opens the port of the simulator')
  await attesterFor(reportsFrom('simulated', false), { teePort })
  assert.equal(opened, 1)
})

test('in hardware mode the kernel says whose reports it gives', async () => {
  const teeOf = async (provider: 'sev_guest' | 'tdx_guest' | undefined) =>
    (
      await attesterFor('kernel', {
        teePort: () => assert.fail('not used'),
        provider: async () => provider,
      })
    ).tee
  assert.equal(await teeOf('tdx_guest'), 'tdx')
  assert.equal(await teeOf('sev_guest'), 'snp')
  assert.equal(await teeOf(undefined), 'snp')
})

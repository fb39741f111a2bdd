import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { isCode } from '@cloister/protocol/testing'
import { snpDeviceSource, tdxDeviceSource } from './tee-device.ts'

const REPORT_DATA = Uint8Array.from({ length: 64 }, (_, index) => index)
const REPORT = Buffer.alloc(1184, 0x5a)
const TD_REPORT = Buffer.alloc(1024, 0x7d)
const NUMBER = { report: 'c0205300', extended: 'c0205302', tdReport: 'c4405401' } as const
/** Of read(2), by which the fake driver gets bytes to an address. */
const READ = { x64: 0, arm64: 63 }[process.arch as 'x64' | 'arm64']
const EIO = 5

/** MSG_REPORT_RSP of the firmware: status, size, 24 reserved bytes, report (AMD 56860, table "MSG_REPORT_RSP"). */
function response({ status = 0, size = REPORT.length } = {}): Buffer {
  const bytes = Buffer.alloc(4000)
  bytes.writeUInt32LE(status)
  bytes.writeUInt32LE(size, 4)
  REPORT.copy(bytes, 32)
  return bytes
}

/** A driver that answers from these files, and the calls that it got. */
function fakeDriver(t: TestContext, files: Readonly<Record<string, Buffer | string>>) {
  const folder = mkdtempSync(join(tmpdir(), 'cl-tee-'))
  t.after(() => rmSync(folder, { recursive: true }))
  for (const [name, content] of Object.entries({ device: '', calls: '', ...files }))
    writeFileSync(join(folder, name), content)
  const fake = ['-I', join(import.meta.dirname, 'testing'), `-MFakeTee=${folder},${READ}`]
  const calls = () =>
    readFileSync(join(folder, 'calls'), 'utf8')
      .split('\n')
      .filter((line) => line !== '')
  return { folder, options: { device: join(folder, 'device'), perlWords: fake }, calls }
}

/** struct snp_report_req: the data, VMPL 0, 28 reserved bytes. */
const SNP_REQUEST = Buffer.concat([REPORT_DATA, Buffer.alloc(32)]).toString('hex')

test('snp: one extended request of version 1, VMPL 0, with room for certificates', async (t) => {
  const certificates = Buffer.alloc(24)
  const { options, calls } = fakeDriver(t, { response: response(), certificates })
  const answer = await snpDeviceSource(options)(REPORT_DATA)
  assert.deepEqual(Buffer.from(answer.report), REPORT)
  assert.deepEqual(Buffer.from(answer.certificates), Buffer.alloc(16_384))
  assert.deepEqual(calls(), [
    `ioctl ${NUMBER.extended} 32 1 0 ${SNP_REQUEST}`,
    'certificates 16384 0',
  ])
})

test('snp: what the host gives along arrives byte for byte', async (t) => {
  const certificates = Buffer.from(Uint8Array.from({ length: 9000 }, (_, index) => index * 7))
  const { options } = fakeDriver(t, { response: response(), certificates })
  const answer = await snpDeviceSource(options)(REPORT_DATA)
  assert.deepEqual(Buffer.from(answer.certificates.subarray(0, 9000)), certificates)
})

test('snp: a host without certificates, or with too many, costs them and not the report', async (t) => {
  const { options, calls } = fakeDriver(t, {
    response: response(),
    // SNP_GUEST_VMM_ERR_INVALID_LEN.
    [`fail-${NUMBER.extended}`]: `${EIO} ${2 ** 32}`,
  })
  const answer = await snpDeviceSource(options)(REPORT_DATA)
  assert.deepEqual(Buffer.from(answer.report), REPORT)
  assert.equal(answer.certificates.length, 0)
  assert.deepEqual(calls(), [
    `ioctl ${NUMBER.extended} fails`,
    `ioctl ${NUMBER.report} 32 1 0 ${SNP_REQUEST}`,
  ])
})

test('snp: refusals of driver and firmware are told, and nothing else is taken for a report', async (t) => {
  const failing = { [`fail-${NUMBER.extended}`]: `${EIO}`, [`fail-${NUMBER.report}`]: `${EIO} 22` }
  const cases: readonly Readonly<Record<string, Buffer | string>>[] = [
    failing,
    { response: response({ status: 22 }) },
    { response: response({ size: 1183 }) },
    { response: response({ size: 0xffff_ffff }) },
  ]
  for (const files of cases) {
    const { options } = fakeDriver(t, files)
    await assert.rejects(snpDeviceSource(options)(REPORT_DATA), isCode('agent.report-failed'))
  }
  const { options } = fakeDriver(t, failing)
  await assert.rejects(snpDeviceSource(options)(REPORT_DATA), /error 0x16/)
  const absent = { ...options, device: join(options.device, 'absent') }
  await assert.rejects(snpDeviceSource(absent)(REPORT_DATA), isCode('agent.report-failed'))
  await assert.rejects(snpDeviceSource(options)(new Uint8Array(63)), isCode('agent.report-failed'))
})

test('without a fake the device is asked, and one that is none says so', async (t) => {
  const { options } = fakeDriver(t, {})
  const real = { device: options.device }
  for (const source of [snpDeviceSource(real), tdxDeviceSource(real)])
    await assert.rejects(source(REPORT_DATA), isCode('agent.report-failed'))
})

interface QuoteAnswer {
  readonly major?: number
  readonly type?: number
  readonly error?: number
  readonly id?: Buffer
  readonly quoteBytes?: number
  /** What stands before the message, if not its length. */
  readonly length?: number
  /** Bytes at a time. Absent: all at once. */
  readonly pieces?: number
}

const QUOTE = Buffer.alloc(4900, 0x71)

function quoteAnswer(answer: QuoteAnswer): Buffer {
  const { major = 1, type = 1, error = 0, id = Buffer.alloc(0), quoteBytes = QUOTE.length } = answer
  const message = Buffer.concat([Buffer.alloc(24), id, QUOTE])
  message.writeUInt16LE(major)
  message.writeUInt16LE(1, 2)
  message.writeUInt32LE(type, 4)
  message.writeUInt32LE(message.length, 8)
  message.writeUInt32LE(error, 12)
  message.writeUInt32LE(id.length, 16)
  message.writeUInt32LE(quoteBytes, 20)
  const length = Buffer.alloc(4)
  length.writeUInt32BE(answer.length ?? message.length)
  return Buffer.concat([length, message])
}

/** A TD whose host has a quote service that gives this answer, and what the service was asked. */
async function fakeTd(t: TestContext, answer: QuoteAnswer) {
  const driver = fakeDriver(t, { response: TD_REPORT })
  const asked: Buffer[] = []
  const wanted = 4 + 24 + TD_REPORT.length
  const service = createServer((socket) => {
    let got = Buffer.alloc(0)
    socket.on('error', () => undefined)
    socket.on('data', (chunk: Buffer) => {
      got = Buffer.concat([got, chunk])
      if (got.length < wanted) return
      asked.push(got)
      const bytes = quoteAnswer(answer)
      const step = answer.pieces ?? bytes.length
      for (let at = 0; at < bytes.length; at += step) socket.write(bytes.subarray(at, at + step))
      socket.end()
    })
  })
  service.listen(join(driver.folder, 'qgs.sock'))
  await once(service, 'listening')
  t.after(() => service.close())
  return { ...driver, asked }
}

test('tdx: the TD report goes to the quote service at vsock 2:4050, and its quote comes back', async (t) => {
  for (const answer of [{}, { id: Buffer.alloc(16, 9) }, { pieces: 100 }]) {
    const { options, calls, asked } = await fakeTd(t, answer)
    const quote = await tdxDeviceSource(options)(REPORT_DATA)
    assert.deepEqual(Buffer.from(quote), QUOTE)
    const order = Buffer.concat([REPORT_DATA, Buffer.alloc(1024)]).toString('hex')
    // sockaddr_vm: family 40, port 4050, CID 2, zeros.
    assert.deepEqual(calls(), [
      `ioctl ${NUMBER.tdReport} ${order}`,
      'socket 40 1 0',
      'connect 28000000d20f00000200000000000000',
    ])
    // Length; version 1.1, type, length, no error.
    const head = '0000041801000100000000001804000000000000'
    const wanted = `${head}0004000000000000${TD_REPORT.toString('hex')}`
    assert.deepEqual(
      asked.map((bytes) => bytes.toString('hex')),
      [wanted],
    )
  }
})

test('tdx: an answer that is no quote is refused', async (t) => {
  const cases: readonly QuoteAnswer[] = [
    { major: 2 },
    { type: 0 },
    { error: 0x12001 },
    { quoteBytes: QUOTE.length - 1 },
    { quoteBytes: 0xffff_ffff },
    { length: 23 },
    { length: 0xffff_ffff },
    { length: 24 + QUOTE.length + 1 },
  ]
  for (const answer of cases) {
    const { options } = await fakeTd(t, answer)
    const asked = tdxDeviceSource(options)(REPORT_DATA)
    await assert.rejects(asked, isCode('agent.report-failed'), JSON.stringify(answer))
  }
})

test('tdx: no driver and no quote service are told', async (t) => {
  const failing = fakeDriver(t, { [`fail-${NUMBER.tdReport}`]: `${EIO}` })
  const { options } = fakeDriver(t, { response: TD_REPORT })
  for (const { options: given } of [failing, { options }])
    await assert.rejects(tdxDeviceSource(given)(REPORT_DATA), isCode('agent.report-failed'))
})

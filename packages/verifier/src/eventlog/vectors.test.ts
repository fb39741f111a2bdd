import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fromBase64 } from '../bytes/base64.ts'
import { FormatError } from '../bytes/format-error.ts'
import { toHex } from '../bytes/hex.ts'
import { fromUtf8 } from '../bytes/text.ts'
import { parseCertificate } from '../formats/x509-certificate.ts'
import { toDer } from '../formats/pem.ts'
import { CheckList } from '../result/check.ts'
import { WITH_VECTORS, vector } from '../testing/vectors.ts'
import type { HashName } from '../tpm/algorithms.ts'
import { appraiseEventLog } from './appraise.ts'
import { eventClaims, eventLogClaims } from './claims.ts'
import type { BootClaims, EventLogPolicy } from './appraise.ts'
import { parseCel, replayCel } from './cel.ts'
import type { EventLogCheckCode } from './check-codes.ts'
import { replayLog } from './replay.ts'
import { encodeTcgLog, parseTcgLog } from './tcg-log.ts'
import { parseSignatureUpdate } from './uefi-variable.ts'

interface Expected {
  readonly log: string
  readonly pcrs: Readonly<Record<string, Readonly<Record<string, string>>>>
}

function json(path: string): unknown {
  return JSON.parse(fromUtf8('vector', path, vector(path)))
}

const LOGS = 'tpm/eventlogs'

async function appraised(
  path: string,
  policy: EventLogPolicy = {},
): Promise<{ boot: BootClaims | undefined; list: CheckList<EventLogCheckCode> }> {
  const log = vector(path)
  const { hashes } = parseTcgLog(log)
  const bank: HashName = (hashes.find(({ name }) => name === 'sha256') ?? hashes[0])?.name ?? 'sha1'
  const registers = await replayLog(parseTcgLog(log), bank)
  const numbering = path.startsWith('eventlog/') ? 'cc' : 'pcr'
  const list = new CheckList<EventLogCheckCode>()
  const boot = await appraiseEventLog({ log, bank, registers, numbering, policy }, list)
  return { boot, list }
}

const problems = ({ checks }: CheckList<EventLogCheckCode>) =>
  checks.filter(({ outcome }) => outcome !== 'pass').map(({ code }) => code)

test('every bank of every log replays to the expected values', WITH_VECTORS, async () => {
  const table = json(`${LOGS}/pcr-banks.json`) as Readonly<Record<string, Expected>>
  const facts = json(`${LOGS}/replay-expected.json`) as Readonly<
    Record<string, { readonly events: number }>
  >
  for (const [name, { log: file, pcrs }] of Object.entries(table)) {
    const bytes = vector(`${LOGS}/${file}`)
    const log = parseTcgLog(bytes)
    assert.equal(log.events.length, facts[name]?.events, file)
    assert.deepEqual(encodeTcgLog(log), bytes)
    for (const [bank, expected] of Object.entries(pcrs)) {
      const replayed = await replayLog(log, bank as HashName)
      for (const [index, value] of Object.entries(expected))
        assert.equal(toHex(replayed.get(Number(index)) ?? new Uint8Array()), value, file)
    }
  }
})

test('boots are told as their logs have them', WITH_VECTORS, async () => {
  const cases = [
    ['rhel8-uefi.bin', 'GCE Virtual Firmware v1', 'none', true, 3],
    ['cos-101-amd-sev.bin', 'GCE Virtual Firmware v1', 'sev', true, 4],
    ['cos-85-amd-sev.bin', 'GCE Virtual Firmware v1', 'sev', true, 3],
    ['debian-10.bin', 'GCE Virtual Firmware v1', 'none', true, 3],
    ['eventlogwithsp800155.bin', 'GCE Virtual Firmware v2', 'none', true, 3],
    ['ubuntu-1804-amd-sev.bin', 'GCE Virtual Firmware v1', 'sev', false, 2],
    ['ubuntu-2104-no-secure-boot.bin', 'GCE Virtual Firmware v1', 'none', false, 2],
    ['ubuntu-2404-amd-sevsnp.bin', 'GCE Virtual Firmware v2', 'sev-snp', false, 2],
  ] as const
  for (const [file, version, technology, secureBoot, applications] of cases) {
    const { boot, list } = await appraised(`${LOGS}/${file}`)
    assert.deepEqual(problems(list), secureBoot ? [] : ['event-log.secure-boot-off'], file)
    assert.equal(boot?.firmwareVersion, version)
    assert.equal(boot.firmwareTechnology, technology)
    assert.equal(boot.secureBoot?.enabled, secureBoot)
    assert.equal(boot.applications.length, applications)
  }
})

test('GRUB: commands, files, command line; authorities by name', WITH_VECTORS, async () => {
  const ubuntu = await appraised(`${LOGS}/ubuntu-2404-amd-sevsnp.bin`)
  const [line = ''] = ubuntu.boot?.kernelCommandLines ?? []
  assert.ok(line.startsWith('/vmlinuz-6.8.0-1010-gcp root=PARTUUID=8270f3c9-'))
  const cos = await appraised(`${LOGS}/cos-85-amd-sev.bin`)
  assert.ok((cos.boot?.grubCommands.length ?? 0) > 0)
  assert.equal(cos.boot?.grubFiles.length, 2)
  for (const file of ['rhel8-uefi.bin', 'debian-10.bin']) {
    const { boot } = await appraised(`${LOGS}/${file}`)
    assert.deepEqual(
      boot?.secureBoot?.authorities.map(({ name }) => name),
      ['db', 'Shim'],
    )
  }
})

test('an empty SecureBoot variable is refused unless allowed', WITH_VECTORS, async () => {
  const path = `${LOGS}/arch-linux-workstation.bin`
  const refused = await appraised(path)
  assert.ok(refused.list.checks.some(isFailure('event-log.secure-boot-malformed')))
  const allowed = await appraised(path, { allowUninitialisedSecureBoot: true })
  assert.ok(!allowed.list.checks.some(isFailure('event-log.secure-boot-malformed')))
  assert.deepEqual(problems(allowed.list), [
    'event-log.boot-order',
    'event-log.secure-boot-malformed',
  ])
})

test('CCEL: the registers of a TD, and of a Hygon guest', WITH_VECTORS, async () => {
  const cases: readonly (readonly [string, number, HashName, readonly string[]])[] = [
    ['CCEL_AAEL_alibabacloud', 87, 'sha384', ['b796e1c1', '3b0b9061', '35f28013', '5e4ecd49']],
    ['CCEL_data', 5, 'sha384', ['2dc71230', '0fa3be56']],
    ['CCEL_data_grub_gke', 35, 'sha384', ['bc994513', 'c17cb288', '334aeba2']],
    ['CCEL_data_ovmf', 20, 'sha384', ['8566f998', '775b9f6b', '94eaf7a7']],
    ['CCEL_data_csv', 82, 'sm3', ['d76c4b28', '0559c204', '28707893']],
  ]
  for (const [file, events, bank, expected] of cases) {
    const log = parseTcgLog(vector(`eventlog/${file}`))
    assert.equal(log.events.length, events, file)
    const registers = await replayLog(log, bank)
    const found = [1, 2, 3, 4].flatMap((index) => {
      const value = registers.get(index)
      return value === undefined ? [] : [toHex(value).slice(0, 8)]
    })
    assert.deepEqual(found, expected, file)
    assert.equal(registers.get(0), undefined)
  }
})

test("CCEL: CoCo's claims of each log", WITH_VECTORS, async () => {
  for (const file of ['', '_AAEL_alibabacloud', '_data_csv', '_data_grub_gke', '_data_ovmf']) {
    const name = `eventlog/CCEL${file === '' ? '_data' : file}`
    const claims = await eventClaims(parseTcgLog(vector(name)))
    const expected = json(`${name}_out.json`) as { uefi_event_logs: unknown }
    assert.deepEqual(JSON.parse(JSON.stringify(claims)), expected.uefi_event_logs, name)
  }
})

test('the canonical log of a Confidential Space run', WITH_VECTORS, async () => {
  const text = fromUtf8('cel', 'text', vector('tpm/cel/cel.b64')).trim()
  const records = parseCel(fromBase64(text))
  assert.equal(records.length, 18)
  const valueOf = (name: string) =>
    new TextDecoder().decode(records.find(({ event }) => event.name === name)?.event.value)
  assert.equal(
    valueOf('image-digest'),
    'sha256:777049f969d790c7fa9edf5783ad22b2d4fa25f31612e95639eb3b5098ff8066',
  )
  assert.equal(valueOf('restart-policy'), 'Never')
  assert.equal(valueOf('gpu-cc-mode'), 'ON')
  assert.equal(valueOf('separator'), '')
  const registers = await replayCel(records, 'sha384')
  assert.equal(
    toHex(registers?.get(4) ?? new Uint8Array()),
    '2261f93374ed538b35e7e93c540a1562ccb25d14f6c40a1efea03d329e29a97172d84e152344af4a7188d0c8b9fcabeb',
  )
})

test('unverified claims of either kind of log, raw or in base64', WITH_VECTORS, async () => {
  const canonical = await eventLogClaims(vector('tpm/cel/cel.b64'))
  assert.deepEqual(Object.keys(canonical), ['registers', 'container_events'])
  const log = await eventLogClaims(vector(`${LOGS}/debian-10.bin`))
  assert.deepEqual(Object.keys(log), ['registers', 'uefi_event_logs'])
  await assert.rejects(eventLogClaims(vector('tpm/titan-host/ekc_dev.bin')), FormatError)
})

test('Secure Boot certificates parse; a current dbx holds the revoked one', WITH_VECTORS, () => {
  for (const file of [
    'GcePk.crt',
    'MicCorKEKCA2011_2011-06-24.crt',
    'MicCorUEFCA2011_2011-06-27.crt',
    'MicWinProPCA2011_2011-10-19.crt',
    'cos_db_v10.pem',
    'cos_db_v20251004.pem',
  ])
    for (const der of toDer([vector(`tpm/secure-boot/${file}`)])) parseCertificate(der)
  assert.equal(parseSignatureUpdate(vector('tpm/secure-boot/dbxupdate-2014-08-11.bin')).length, 13)
  const update = parseSignatureUpdate(vector('tpm/secure-boot/dbxupdate_x64-2020-10-12.bin'))
  const revoked = toHex(vector('tpm/secure-boot/canonical-boothole.crt'))
  assert.ok(update.some(({ kind, data }) => kind === 'x509' && toHex(data) === revoked))
})

test('foreign formats give a log or a format error, nothing else', WITH_VECTORS, () => {
  for (const file of [
    'cel_launch_event_log.bin',
    'ekc_dev.bin',
    'gmes_eventlog.bin',
    'payload_key_cert_dev.bin',
    'scribe_cert_0_dev.bin',
  ]) {
    for (const parse of [parseTcgLog, parseCel])
      try {
        parse(vector(`tpm/titan-host/${file}`))
      } catch (error) {
        assert.ok(error instanceof FormatError, file)
      }
  }
})

function isFailure(wanted: EventLogCheckCode) {
  return ({ code, outcome }: { code: string; outcome: string }) =>
    code === wanted && outcome === 'fail'
}

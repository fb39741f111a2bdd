// A real TPM (swtpm), asked by us and by tpm2-tools.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { promisify } from 'node:util'
import { isCode } from '@cloister/protocol/testing'
import { appraiseTpm } from '@cloister/verifier/tpm/appraise'
import { parseTpmEvidenceJson } from '@cloister/verifier/tpm/evidence-json'
import { ANY_PCRS } from '@cloister/verifier/tpm/policy'
import { parseTpmPublicArea, tpmName } from '@cloister/verifier/tpm/public-area'
import { vtpmAttester } from '../src/attesters/vtpm.ts'
import { startSwtpm, type Swtpm } from '../src/testing/swtpm.ts'
import { openTpmDevice } from '../src/tpm/device.ts'
import { endorsementKeyTemplate } from '../src/tpm/templates.ts'
import { Tpm } from '../src/tpm/tpm.ts'

const run = promisify(execFile)
let swtpm: Swtpm

before(async () => (swtpm = await startSwtpm()))
after(() => swtpm[Symbol.asyncDispose]())

const tool = (name: string, ...args: readonly string[]) =>
  run(name, args, { env: { ...process.env, TPM2TOOLS_TCTI: swtpm.tcti } })
const file = (name: string) => join(swtpm.directory, name)

test('the endorsement keys are those that others make by the TCG templates', async () => {
  for (const kind of ['rsa', 'ecc'] as const) {
    const path = file(`ek-${kind}.pub`)
    await tool('tpm2_createek', '-c', file('ek.ctx'), '-G', kind, '-u', path)
    await using device = await swtpm.open()
    const tpm = new Tpm(device)
    const ours = await tpm.createPrimary(endorsementKeyTemplate(kind))
    await tpm.flushContext(ours.handle)
    // TPM2B_PUBLIC: a size before it.
    assert.deepEqual(Buffer.from(ours.publicArea), (await readFile(path)).subarray(2), kind)
  }
})

test('what tpm2-tools encrypt to the endorsement key, the TPM gives back for its own key alone', async () => {
  const secret = randomBytes(20)
  await writeFile(file('secret'), secret)
  await tool('tpm2_createek', '-c', file('ek.ctx'), '-G', 'rsa', '-u', file('ek.pub'))
  await using device = await swtpm.open()
  const attester = await vtpmAttester({ device })
  const { attestationKey } = await attester.identity()
  const name = await tpmName(parseTpmPublicArea(attestationKey))
  const make = async (nameHex: string) => {
    await run('tpm2_makecredential', [
      '-T',
      'none',
      '-e',
      file('ek.pub'),
      '-s',
      file('secret'),
      '-n',
      nameHex,
      '-o',
      file('credential'),
    ])
    // Magic and version, then TPM2B_ID_OBJECT and TPM2B_ENCRYPTED_SECRET.
    const made = (await readFile(file('credential'))).subarray(8)
    const middle = 2 + made.readUInt16BE(0)
    return { credential: made.subarray(2, middle), secret: made.subarray(middle + 2) }
  }
  const own = await make(Buffer.from(name).toString('hex'))
  assert.deepEqual(Buffer.from(await attester.activate(own)), secret)
  const others = await make(`000b${'ab'.repeat(32)}`)
  await assert.rejects(attester.activate(others), isCode('agent.tpm-failed'))
  // The failed session and key were flushed: a TPM without a resource manager holds three of each.
  for (let round = 0; round < 4; round++) await attester.activate(own)
})

test('its Evidence holds: PCRs as extended, both banks, the nonce, a restricted key', async () => {
  const digest = 'ab'.repeat(32)
  await tool('tpm2_pcrextend', `16:sha256=${digest}`)
  await using device = await swtpm.open()
  const attester = await vtpmAttester({ device, eventLogFile: file('absent') })
  const reportData = randomBytes(64)
  const evidence = parseTpmEvidenceJson(JSON.parse((await attester.attest(reportData)).json))
  const appraisal = await appraiseTpm(evidence, {
    now: new Date(),
    expect: {
      ...ANY_PCRS,
      reportData: reportData.subarray(0, 32),
      ak: createHash('sha256').update(evidence.ak).digest(),
      pcr16: createHash('sha256')
        .update(Buffer.alloc(32))
        .update(Buffer.from(digest, 'hex'))
        .digest(),
    },
    policy: { pcrBank: 'sha256' },
  })
  assert.equal(appraisal.status, 'affirming')
  const attributes = appraisal.checks.find(({ code }) => code === 'tpm.ak.attributes')
  assert.equal(attributes?.outcome, 'pass')
  assert.deepEqual(
    evidence.quotes.map(({ banks: [bank] }) => bank?.hash),
    ['sha256', 'sha384'],
  )
  assert.equal(evidence.endorsementCertificate?.[0], 0x30)
})

test('its Evidence is checked by tpm2_checkquote as well', async () => {
  await using device = await swtpm.open()
  const attester = await vtpmAttester({ device, eventLogFile: file('absent') })
  const reportData = randomBytes(64)
  const { json } = await attester.attest(reportData)
  const { tpm_quote: quote, ak_public: ak } = JSON.parse(json) as {
    readonly tpm_quote: { readonly message: string; readonly signature: string }
    readonly ak_public: string
  }
  await writeFile(file('quote.msg'), Buffer.from(quote.message, 'base64'))
  await writeFile(file('quote.sig'), Buffer.from(quote.signature, 'base64'))
  const pem = `-----BEGIN PUBLIC KEY-----\n${ak.replace(/.{64}/g, '$&\n')}\n-----END PUBLIC KEY-----\n`
  await writeFile(file('ak.pem'), pem)
  const check = (nonce: Uint8Array) =>
    run('tpm2_checkquote', [
      '-u',
      file('ak.pem'),
      '-m',
      file('quote.msg'),
      '-s',
      file('quote.sig'),
      '-g',
      'sha256',
      '-q',
      Buffer.from(nonce).toString('hex'),
    ])
  await check(reportData.subarray(0, 32))
  await assert.rejects(check(randomBytes(32)))
})

test('the attestation key is the same at every start', async () => {
  const keys: string[] = []
  for (let start = 0; start < 2; start++) {
    await using device = await swtpm.open()
    const attester = await vtpmAttester({ device })
    keys.push(Buffer.from((await attester.identity()).attestationKey).toString('hex'))
  }
  assert.equal(keys[0], keys[1])
})

test('a TPM that keeps SHA-256 alone is quoted over that; one without certificates says so', async () => {
  await using bare = await startSwtpm({ banks: 'sha256', certified: false })
  await using device = await bare.open()
  const attester = await vtpmAttester({ device, eventLogFile: file('absent') })
  const { json } = await attester.attest(new Uint8Array(64))
  const evidence = parseTpmEvidenceJson(JSON.parse(json))
  assert.equal(evidence.quotes.length, 1)
  assert.equal(evidence.endorsementCertificate, undefined)
  assert.equal(evidence.eventLog, undefined)
})

test('a guest without a TPM is told', async () => {
  await assert.rejects(openTpmDevice(file('absent')), isCode('agent.tpm-absent'))
})

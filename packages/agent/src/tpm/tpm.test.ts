import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { isCode } from '@cloister/protocol/testing'
import { parseTpmAttest } from '@cloister/verifier/tpm/attest'
import { isAttestationKey, parseTpmPublicArea, tpmName } from '@cloister/verifier/tpm/public-area'
import { TpmRefusal } from './command.ts'
import type { TpmDevice } from './device.ts'
import { attestationKeyTemplate, endorsementKeyTemplate } from './templates.ts'
import { Tpm } from './tpm.ts'

interface Exchange {
  readonly command: string
  readonly response: string
}

/** Recorded from swtpm 0.7.1 (libtpms 0.9.2), one command and its response after the other. */
const RECORDED = JSON.parse(
  readFileSync(new URL('testdata/swtpm-exchange.json', import.meta.url), 'utf8'),
) as readonly Exchange[]

const bytes = (hex: string) => new Uint8Array(Buffer.from(hex, 'hex'))

/** Answers what was recorded, and only to what was recorded. */
function recordedTpm(exchanges: readonly Exchange[]): { tpm: Tpm; left: () => number } {
  const waiting = [...exchanges]
  const device: TpmDevice = {
    async transmit(command) {
      const next = waiting.shift()
      assert.equal(Buffer.from(command).toString('hex'), next?.command)
      return bytes(next?.response ?? '')
    },
    async [Symbol.asyncDispose]() {},
  }
  return { tpm: new Tpm(device), left: () => waiting.length }
}

/** A TPM that gives one answer to everything. */
const answering = (...responses: readonly string[]): Tpm => {
  const waiting = [...responses]
  return new Tpm({
    transmit: async () => bytes(waiting.length > 1 ? (waiting.shift() ?? '') : (waiting[0] ?? '')),
    async [Symbol.asyncDispose]() {},
  })
}

test('the commands are byte for byte those that a real TPM answered', async () => {
  const { tpm, left } = recordedTpm(RECORDED)
  const ak = await tpm.createPrimary(attestationKeyTemplate('ecc'))
  const ek = await tpm.createPrimary(endorsementKeyTemplate('ecc'))
  assert.ok(isAttestationKey(parseTpmPublicArea(ak.publicArea)))
  assert.deepEqual(await tpmName(parseTpmPublicArea(ak.publicArea)), new Uint8Array(ak.name))
  assert.deepEqual((await tpm.readPublic(ak.handle)).name, ak.name)
  assert.equal((await tpm.nvRead(0x01c0_0002))?.[0], 0x30)
  assert.equal(await tpm.nvRead(0x01c1_0000), undefined)
  assert.equal((await tpm.pcrRead('sha256'))?.length, 24)
  assert.equal(await tpm.pcrRead('sha1'), undefined)
  const { message } = await tpm.quote(ak.handle, new Uint8Array(32).fill(5), 'sha256')
  assert.deepEqual(Buffer.from(parseTpmAttest(message).extraData), Buffer.alloc(32, 5))
  await tpm.flushContext(ek.handle)
  await assert.rejects(
    tpm.flushContext(ek.handle),
    (error) => error instanceof TpmRefusal && error.responseCode === 0x1cb,
  )
  assert.equal(left(), 0)
})

test('a response that no TPM gives is refused, and no answer is read twice', async () => {
  const quoted = RECORDED.find(({ response }) => response.startsWith('8002000000ee'))?.response
  assert.ok(quoted)
  const size = (hex: string) => (hex.length / 2).toString(16).padStart(8, '0')
  const resized = (hex: string) => `${hex.slice(0, 4)}${size(hex)}${hex.slice(12)}`
  const broken = [
    '',
    '8001',
    quoted.slice(0, -2),
    resized(quoted.slice(0, -2)).replace(/^8002/, '8001'),
    // A parameter area that is longer than the response.
    `${quoted.slice(0, 20)}00001000${quoted.slice(28)}`,
    '80020000000a00000000',
  ]
  for (const response of broken)
    await assert.rejects(
      answering(response).quote(1, new Uint8Array(32), 'sha256'),
      isCode('agent.tpm-failed'),
      response.slice(0, 40),
    )
})

test('a TPM that asks for patience is asked again, with an end', async () => {
  const busy = '80010000000a00000922'
  await answering(busy, busy, '80010000000a00000000').flushContext(1)
  await assert.rejects(
    answering(busy).flushContext(1),
    (error) => error instanceof TpmRefusal && error.responseCode === 0x922,
  )
})

test('commands go one after the other, and a failed one does not stop the next', async () => {
  let running = 0
  const tpm = new Tpm({
    async transmit() {
      assert.equal(++running, 1)
      await new Promise(setImmediate)
      running--
      return bytes('80010000000a000001cb')
    },
    async [Symbol.asyncDispose]() {},
  })
  const results = await Promise.allSettled([tpm.flushContext(1), tpm.flushContext(2)])
  assert.deepEqual(
    results.map(({ status }) => status),
    ['rejected', 'rejected'],
  )
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { toBase64, toBase64Url } from '../src/bytes/base64.ts'
import { FormatError } from '../src/bytes/format-error.ts'
import { toHex } from '../src/bytes/hex.ts'
import { toUtf8 } from '../src/bytes/text.ts'
import { recogniseCcaToken } from '../src/cca/recognise.ts'
import { recogniseQuote } from '../src/dcap/recognise.ts'
import { recogniseNitroDocument } from '../src/nitro/recognise.ts'
import { recogniseNvidiaEvidence } from '../src/nvidia/recognise.ts'
import { recogniseSnpEvidence } from '../src/snp/recognise.ts'
import { WITH_VECTORS, vector } from '../src/testing/vectors.ts'
import { recogniseTpmEvidence } from '../src/tpm/recognise.ts'

const SAMPLES: readonly (readonly [string, (bytes: Uint8Array) => unknown])[] = [
  ['snp/genoa-v5/report.bin', recogniseSnpEvidence],
  ['tdx/v4-b0c0/quote.bin', recogniseQuote],
  ['sgx/v3-00a067/quote.bin', recogniseQuote],
  ['tpm/attestations/gce-cos-85-nonce9009.pb', recogniseTpmEvidence],
  ['nitro/production/document.bin', recogniseNitroDocument],
  ['cca/tf-rmm/cca_token.cbor', recogniseCcaToken],
  ['nvidia/gpu-h100-550.90.07/report.bin', recogniseNvidiaEvidence],
]

const lines = (text: string) => text.replaceAll(/.{1,76}/g, '$&\n')

test('binary Evidence is the same in hex and in base64, in lines or URL-safe', WITH_VECTORS, () => {
  for (const [path, recognise] of SAMPLES) {
    const bytes = vector(path)
    const expected = recognise(bytes)
    const base64 = toBase64(bytes)
    const texts = [
      toHex(bytes),
      `0x${toHex(bytes)}`.toUpperCase().replace('0X', '0x'),
      lines(toHex(bytes)),
      base64,
      lines(base64),
      base64.replaceAll('+', '-').replaceAll('/', '_'),
      `${toBase64Url(bytes)}\n`,
    ]
    for (const text of texts)
      assert.deepEqual(recognise(toUtf8(text)), expected, `${path}: ${text.slice(0, 40)}`)
    for (const text of [`${base64}*`, `${toHex(bytes)}0`, `${toBase64Url(bytes)}-*`])
      assert.throws(() => recognise(toUtf8(text)), FormatError, `${path}: ${text.slice(-40)}`)
  }
})

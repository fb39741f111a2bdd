import assert from 'node:assert/strict'
import { test } from 'node:test'
import { allocatedSince, readAllocation } from '../fuzz/allocation.ts'
import { concatBytes } from '../src/bytes/concat.ts'
import { FormatError } from '../src/bytes/format-error.ts'
import { toBase64, toBase64Url } from '../src/bytes/base64.ts'
import { toUtf8 } from '../src/bytes/text.ts'
import { parseAzSnpEvidence, parseAzTdxEvidence } from '../src/azure/evidence-json.ts'
import { parseHclRuntimeData } from '../src/azure/runtime-data.ts'
import { recogniseCcaToken } from '../src/cca/recognise.ts'
import { parseCollateralJson } from '../src/dcap/collateral-json.ts'
import { parseTcbInfo } from '../src/dcap/tcb-info.ts'
import { recogniseQuote } from '../src/dcap/recognise.ts'
import { readUnverifiedEarToken, verifyEarToken } from '../src/ear/token.ts'
import { parseBundle } from '../src/endorsements/bundle.ts'
import { bootEvents } from '../src/eventlog/boot-events.ts'
import { parseCel } from '../src/eventlog/cel.ts'
import { eventDetails } from '../src/eventlog/event-details.ts'
import { parseTcgLog } from '../src/eventlog/tcg-log.ts'
import { EVENT_TYPE } from '../src/eventlog/event-types.ts'
import { parseCbor } from '../src/formats/cbor-reader.ts'
import { derInteger, derSequence } from '../src/formats/der-writer.ts'
import { isPem, parsePem } from '../src/formats/pem.ts'
import { parseCertificate } from '../src/formats/x509-certificate.ts'
import { parseRevocationList } from '../src/formats/x509-crl.ts'
import { recogniseNvidiaEvidence } from '../src/nvidia/recognise.ts'
import { parseSeEvidence } from '../src/se/evidence.ts'
import { parseSnpEvidenceJson } from '../src/snp/evidence-json.ts'
import { recogniseSnpEvidence } from '../src/snp/recognise.ts'
import { FakeAmd } from '../src/testing/fake-amd.ts'
import { recogniseTpmEvidence } from '../src/tpm/recognise.ts'

// What eight times as much of the same costs, in CPU time, so that a loaded machine does not matter: eight times as much where a parser looks
// at each byte a bounded number of times, sixty-four times where it does not.

const SMALL = 40_000
const GROWTH = 8
/** Bytes allocated for each byte of a long input, garbage counted. */
const MOST_TIMES = 4
/** Half way between, in powers; far above what collections and caches add. */
const MOST = 28
const ROUNDS = 7
/** Below this nothing can be told, and nothing is slow. */
const FLOOR_US = 300

const log = (events: Uint8Array) => concatBytes(new Uint8Array(32), events)
const text = (size: number, piece: string) => piece.repeat(Math.ceil(size / piece.length))
const record = (type: number, data: Uint8Array) => {
  const bytes = new Uint8Array(32 + data.length)
  const view = new DataView(bytes.buffer)
  view.setUint32(4, type, true)
  view.setUint32(28, data.length, true)
  bytes.set(data, 32)
  return bytes
}
/** An event by which GRUB measures. */
const commandLine = (words: string) => {
  const event = record(EVENT_TYPE.ipl, toUtf8(words))
  event[0] = 8
  return log(event)
}
const repeated = (size: number, piece: Uint8Array) => {
  const bytes = new Uint8Array(Math.ceil(size / piece.length) * piece.length)
  for (let at = 0; at < bytes.length; at += piece.length) bytes.set(piece, at)
  return bytes
}
const wide = (size: number, last: string) =>
  Uint8Array.from(Buffer.from(`a${'\0'.repeat(size / 2)}${last}`, 'utf16le'))

/** What reads JSON of whatever shape it is given. */
const FORMS: readonly (readonly [string, (input: Uint8Array) => unknown])[] = [
  ['SNP Evidence', recogniseSnpEvidence],
  ['a quote in JSON', recogniseQuote],
  ["Intel's collateral", parseCollateralJson],
  ['TPM Evidence', recogniseTpmEvidence],
  ['Azure SNP Evidence', parseAzSnpEvidence],
  ['Azure TDX Evidence', parseAzTdxEvidence],
  ['a CCA token in JSON', recogniseCcaToken],
  ['NVIDIA Evidence', recogniseNvidiaEvidence],
  ['SE Evidence', parseSeEvidence],
  ['a bundle', parseBundle],
  [
    'the header of an EAR token',
    (input) => {
      const options = { trustedCertificates: [], now: new Date(0) }
      // What comes before the first wait is all that an unsigned token reaches.
      return verifyEarToken(headerOf(input), options)
    },
  ],
]

/** Made once for each input, so that making it does not count. */
const headers = new WeakMap<Uint8Array, string>()
function headerOf(input: Uint8Array): string {
  const known = headers.get(input) ?? `${toBase64Url(input)}..AAAA`
  headers.set(input, known)
  return known
}

const CASES: readonly (readonly [
  string,
  (size: number) => Uint8Array,
  (input: Uint8Array) => unknown,
])[] = [
  [
    'text of an event that is NULs but for its end',
    (size) => wide(size, 'x'),
    (input) => eventDetails(EVENT_TYPE.ipl, input),
  ],
  [
    'text of an event that ends in NULs',
    (size) => wide(size, ''),
    (input) => eventDetails(EVENT_TYPE.ipl, input),
  ],
  [
    'a kernel command line in a log that is NULs but for its end',
    (size) => commandLine(`kernel_cmdline: ${text(size, '\0')}x`),
    (input) => bootEvents(parseTcgLog(input), 'sha1'),
  ],
  ['many small events', (size) => log(repeated(size, record(5, new Uint8Array(1)))), parseTcgLog],
  ['zeros as an event log', (size) => new Uint8Array(size), parseTcgLog],
  ['0xFF as an event log', (size) => new Uint8Array(size).fill(0xff), parseTcgLog],
  ['zeros as a canonical log', (size) => new Uint8Array(size), parseCel],
  ['line ends as an event log in base64', (size) => toUtf8(text(size, '\n')), recogniseTpmEvidence],
  ['opening brackets', (size) => toUtf8(text(size, '[')), parseSnpEvidenceJson],
  [
    'a chain beside a number of 20 digits',
    (size) =>
      toUtf8(
        `{"attestation_report":{"policy":18446744073709551615},"cert_chain":[${text(size, '7,')}7]}`,
      ),
    parseSnpEvidenceJson,
  ],
  [
    'a certificate as numbers',
    (size) => toUtf8(`{"attestation_report":{},"cert_chain":[{"data":[${text(size, '7,')}7]}]}`),
    parseSnpEvidenceJson,
  ],
  [
    'a certificate as numbers that are no bytes',
    (size) => toUtf8(`{"attestation_report":{},"cert_chain":[{"data":[${text(size, '7,')}256]}]}`),
    recogniseSnpEvidence,
  ],
  ['a token as numbers', (size) => toUtf8(`{"token":[${text(size, '1,')}7]}`), recogniseCcaToken],
  [
    'an HCL report as numbers',
    (size) => toUtf8(`{"report":[${text(size, '200,')}7]}`),
    parseAzSnpEvidence,
  ],
  ...FORMS.map(
    ([name, read]) =>
      [
        `empty objects in ${name}`,
        (size: number) => toUtf8(`{"x":[${text(size, '{},')}{}]}`),
        read,
      ] as const,
  ),
  ...FORMS.map(
    ([name, read]) =>
      [`short members in ${name}`, (size: number) => toUtf8(`{${manyNames(size)}}`), read] as const,
  ),
  ...FORMS.map(
    ([name, read]) =>
      [
        `one long text in ${name}`,
        (size: number) => toUtf8(`{"quote":"${text(size, 'AAAA')}"}`),
        read,
      ] as const,
  ),
  ...FORMS.map(
    ([name, read]) =>
      [
        `a text of escapes in ${name}`,
        (size: number) => toUtf8(`{"tcb_info":"${text(size, '\\"')}"}`),
        read,
      ] as const,
  ),
  ['opening braces', (size) => toUtf8(text(size, '{"a":')), recogniseTpmEvidence],
  ['backslashes in a name', (size) => toUtf8(`{"${text(size, '\\\\')}":1}`), parseTcbInfo],
  ['many names', (size) => toUtf8(`{${manyNames(size)}}`), parseTcbInfo],
  ['many names in runtime data', (size) => toUtf8(`{${manyNames(size)}}`), parseHclRuntimeData],
  ['many names in SE evidence', (size) => toUtf8(`{${manyNames(size)}}`), parseSeEvidence],
  ['white space in JSON', (size) => toUtf8(`{${text(size, ' ')}}`), recogniseNvidiaEvidence],
  ['spaces as a quote', (size) => toUtf8(text(size, ' ')), recogniseQuote],
  ['spaces as SNP Evidence', (size) => toUtf8(text(size, ' ')), recogniseSnpEvidence],
  ['many PEM heads', (size) => toUtf8(text(size, '-----BEGIN ')), parsePem],
  ['hyphens', (size) => toUtf8(text(size, '-')), parsePem],
  ['hyphens, is it PEM', (size) => toUtf8(text(size, '-')), isPem],
  ['white space in PEM', (size) => pem(text(size, '\n ')), parsePem],
  ['one long PEM block', (size) => pem(toBase64(new Uint8Array(size))), parsePem],
  ['many DER elements', (size) => derSequence(repeated(size, derInteger(1))), parseCertificate],
  ['nested DER', (size) => repeated(size, Uint8Array.of(0x30, 0x80)), parseCertificate],
  ['a long revocation list', revocationList, parseRevocationList],
  [
    'nested arrays of CBOR',
    (size) => new Uint8Array(size).fill(0x81),
    (input) => parseCbor('growth', input),
  ],
  [
    'one array of CBOR',
    (size) => concatBytes(Uint8Array.of(0x9f), new Uint8Array(size)),
    (input) => parseCbor('growth', input),
  ],
  [
    'dots of a token',
    (size) => toUtf8(text(size, '.')),
    (input) => readUnverifiedEarToken(new TextDecoder().decode(input)),
  ],
]

for (const [name, make, run] of CASES)
  test(`eight times as much costs about eight times as much: ${name}`, () => {
    const small = cost(make(SMALL), run)
    const large = cost(make(SMALL * GROWTH), run)
    assert.ok(
      large <= Math.max(small, FLOOR_US) * MOST,
      `${small.toFixed(0)} µs for ${SMALL} bytes, ${large.toFixed(0)} µs for ${GROWTH} times as many`,
    )
  })

for (const [name, make, run] of CASES)
  test(`a long input is not multiplied in memory: ${name}`, () => {
    const input = make(SMALL * GROWTH)
    const allocated = leastAllocated(input, run)
    const length = headers.get(input)?.length ?? input.length
    assert.ok(allocated <= MOST_TIMES * length, `${allocated} bytes for an input of ${length}`)
  })

/** On the heap and outside of it. A collection in between makes it smaller, so the least that is not absurd counts. */
function leastAllocated(input: Uint8Array, run: (input: Uint8Array) => unknown): number {
  let least = Number.POSITIVE_INFINITY
  for (let round = 0; round < ROUNDS; round++) {
    const before = readAllocation()
    runOnce(input, run)
    const { outside, onHeap } = allocatedSince(before)
    if (outside >= 0 && onHeap >= 0) least = Math.min(least, outside + onHeap)
  }
  return Number.isFinite(least) ? least : 0
}

function runOnce(input: Uint8Array, run: (input: Uint8Array) => unknown): void {
  try {
    run(input)
  } catch (error) {
    if (!(error instanceof FormatError)) throw error
  }
}

/** CPU microseconds of one run: the least of several. */
function cost(input: Uint8Array, run: (input: Uint8Array) => unknown): number {
  let least = Number.POSITIVE_INFINITY
  for (let round = 0; round < ROUNDS; round++) {
    const start = process.cpuUsage()
    runOnce(input, run)
    const { user, system } = process.cpuUsage(start)
    least = Math.min(least, user + system)
  }
  return least
}

function manyNames(size: number): string {
  return Array.from({ length: Math.ceil(size / 10) }, (_, index) => `"n${index}":1`).join()
}

function pem(body: string): Uint8Array {
  return toUtf8(`-----BEGIN X-----\n${body}\n-----END X-----\n`)
}

function revocationList(size: number): Uint8Array {
  const revoked = Array.from({ length: Math.ceil(size / 40) }, (_, index) => index + 4)
  return AMD.revocationList(new Date('2026-01-01'), new Date('2026-02-01'), revoked)
}

const AMD = new FakeAmd()

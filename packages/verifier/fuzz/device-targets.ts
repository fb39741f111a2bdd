/** Targets of CBOR, COSE, Nitro, CCA, NVIDIA, Secure Execution and CSV. */
import { equalBytes } from '../src/bytes/equal.ts'
import { toBase64 } from '../src/bytes/base64.ts'
import { toUtf8 } from '../src/bytes/text.ts'
import { appraiseCca } from '../src/cca/appraise.ts'
import { parsePlatformClaimsJson } from '../src/cca/claims-json.ts'
import { recogniseCcaToken } from '../src/cca/recognise.ts'
import { parseCcaToken } from '../src/cca/token.ts'
import { parsePlatformCertificate, parseRootCertificate } from '../src/csv/certificate.ts'
import { parseCsvReport } from '../src/csv/report.ts'
import { encodeCbor } from '../src/formats/cbor-item.ts'
import { parseCbor } from '../src/formats/cbor-reader.ts'
import { encodeCoseSign1, parseCoseSign1 } from '../src/formats/cose-sign1.ts'
import { appraiseNitroUnder } from '../src/nitro/appraise.ts'
import { parseNitroDocument } from '../src/nitro/document.ts'
import { appraiseNvidiaUnder } from '../src/nvidia/appraise.ts'
import { recogniseNvidiaEvidence } from '../src/nvidia/recognise.ts'
import { parseNvidiaReport } from '../src/nvidia/report.ts'
import { EndorsementCache } from '../src/result/endorsement-cache.ts'
import { parseSeEvidence } from '../src/se/evidence.ts'
import { ANY_CCA, ANY_NITRO } from '../src/testing/any-expectation.ts'
import { FakeArm } from '../src/testing/fake-arm.ts'
import { FakeAws } from '../src/testing/fake-aws.ts'
import { fakeSeEvidence } from '../src/testing/fake-ibm.ts'
import { FakeNvidia, fakeReport } from '../src/testing/fake-nvidia.ts'
import { recorded, recordedBelow, same } from './corpus.ts'
import { appraisal, parser } from './target.ts'
import type { Target } from './target.ts'

const NOW = new Date('2026-06-01T00:00:00Z')

export function deviceTargets(): readonly Target[] {
  const aws = new FakeAws()
  const document = aws.document()
  const documents = [document, ...recorded('nitro/production/document.bin')]
  const arm = new FakeArm()
  const token = arm.token()
  const tokens = [token, arm.token({ profile: false }), ...recorded('cca/tf-rmm/cca_token.cbor')]
  const nvidia = new FakeNvidia()
  const device = nvidia.device()
  const report = fakeReport(device)
  const reports = [report, ...recorded('nvidia/gpu-h100-550.90.07/report.bin')]
  const wrapped = [toUtf8('{"device_evidence_list":[{"evidence":"11e0","certificate":""}]}')]
  const se = toUtf8(JSON.stringify(seJson()))
  const cache = new EndorsementCache()
  return [
    parser(
      'CBOR',
      [...documents, ...tokens],
      (input) => same(encodeCbor(parseCbor('fuzz', input)), input),
      recorded('kbs/rvps/unsigned-example-corim.cbor'),
    ),
    parser('COSE_Sign1', documents, (input) => same(encodeCoseSign1(parseCoseSign1(input)), input)),
    parser('Nitro document', documents, parseNitroDocument),
    parser('CCA token', tokens, parseCcaToken),
    parser('CCA recognise', [toUtf8('{"token":[217,1,143]}')], recogniseCcaToken, [
      token,
      toUtf8(toBase64(token)),
      toUtf8(JSON.stringify({ token: [...token] })),
    ]),
    parser(
      'CCA claims in JSON',
      [
        toUtf8('{"cca-platform-lifecycle":12288}'),
        ...recorded('cca/platform/json/test-token-valid-full.json'),
      ],
      parsePlatformClaimsJson,
      recordedBelow('cca/platform/json', '.json'),
    ),
    parser('NVIDIA report', reports, parseNvidiaReport),
    parser(
      'NVIDIA recognise',
      [...wrapped, ...reports],
      recogniseNvidiaEvidence,
      recorded('nvidia/gpu-h100-sample/report.txt', 'nvidia/switch-ls10/evidence.json'),
    ),
    parser('SE evidence', [se], parseSeEvidence),
    parser('CSV report', [new Uint8Array(2548), ...recorded('csv/report.cert')], parseCsvReport),
    parser(
      'CSV root certificate',
      [new Uint8Array(832), ...recorded('csv/hsk.cert')],
      parseRootCertificate,
    ),
    parser(
      'CSV platform certificate',
      [new Uint8Array(2084), ...recorded('csv/cek.cert')],
      parsePlatformCertificate,
    ),
    appraisal('Nitro appraisal', [document], async (input) => {
      const options = { expect: ANY_NITRO, now: NOW, cache }
      const result = await appraiseNitroUnder(aws.fingerprint, input, options)
      refuseChanged(result.status, input, document)
    }),
    appraisal('CCA appraisal', [token], async (input) => {
      const endorsements = { platformKeys: [{ publicKey: arm.platformKey.spki }] }
      const result = await appraiseCca(input, { expect: ANY_CCA, now: NOW, endorsements })
      refuseChanged(result.status, input, token)
    }),
    appraisal('NVIDIA appraisal', [report], async (input) => {
      const endorsements = { certificates: nvidia.certificates(device) }
      const options = { expect: { nonce: 'any' }, now: NOW, endorsements } as const
      const result = await appraiseNvidiaUnder(nvidia.roots, input, options)
      // Zero bytes may follow a report.
      refuseChanged(result.status, input.subarray(0, report.length), report)
    }),
  ]
}

function seJson() {
  const evidence = fakeSeEvidence(new Uint8Array(64), new Uint8Array(16))
  return {
    measurement: toBase64(evidence.measurement),
    additional_data: toBase64(evidence.additionalData),
    user_data: toBase64(evidence.userData),
    cuid: toBase64(evidence.cuid),
    image_hdr_tags: toBase64(evidence.imageHeaderTags),
  }
}

function refuseChanged(status: string, input: Uint8Array, signed: Uint8Array): void {
  if (status === 'affirming' && !equalBytes(input, signed))
    throw new Error('changed Evidence was accepted')
}

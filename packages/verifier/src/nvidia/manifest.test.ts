import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import { FormatError } from '../bytes/format-error.ts'
import { fromUtf8, toUtf8 } from '../bytes/text.ts'
import { FakeNvidia, fakeManifest } from '../testing/fake-nvidia.ts'
import { WITH_VECTORS, vector } from '../testing/vectors.ts'
import { parseReferenceManifest } from './manifest.ts'

const SIGNED = [
  'driver_GH100_550.144.03.xml',
  'driver_GH100_550.90.07.xml',
  'driver_test_no_gpu.swidtag',
  'success_valid_rim.xml',
  'switch_vbios_9610550001.xml',
  'vbios_96005E0001_PROD.swidtag',
  'vbios_96005E0001_test_no_gpu.swidtag',
  'vbios_96009F0001.xml',
]

test('recorded manifests are canonicalised to what their signatures name', WITH_VECTORS, () => {
  for (const name of SIGNED) {
    const { signature, measurements } = parseReferenceManifest(vector(`nvidia/rim/${name}`))
    const content = createHash('sha384')
      .update(signature?.content ?? '')
      .digest('hex')
    assert.equal(content, Buffer.from(signature?.digest ?? []).toString('hex'), name)
    assert.equal(signature?.certificates.length, 4, name)
    assert.ok(measurements.length > 0, name)
  }
})

test('the INDEX says which samples parse', WITH_VECTORS, () => {
  for (const name of ['single_measurement', 'multiple_alternatives']) {
    const manifest = parseReferenceManifest(vector(`nvidia/rim/success_payload_${name}.xml`))
    assert.ok(manifest.measurements.length > 0)
    assert.equal(manifest.signature, undefined)
  }
  for (const name of [
    // Called a success, but it has words such as `hash0` in place of digests.
    'success_payload_multiple_measurements',
    'failure_duplicate_index',
    'failure_empty_payload',
    'failure_hash_empty_namespace',
    'failure_invalid_alternatives',
    'failure_invalid_base64_cert',
    'failure_invalid_cert_bytes',
    'failure_invalid_index',
    'failure_invalid_pem_data',
    'failure_invalid_size',
    'valid_signed_xml',
  ])
    assert.throws(() => parseReferenceManifest(vector(`nvidia/rim/${name}.xml`)), FormatError, name)
})

const SMALL = fromUtf8(
  'test',
  'text',
  fakeManifest(new FakeNvidia(), '1', [{ index: 0, hashes: ['06'.repeat(48)] }]),
)

test('whatever is outside of the shape is refused', () => {
  parseReferenceManifest(toUtf8(SMALL))
  parseReferenceManifest(toUtf8(`<?xml version="1.0" encoding="UTF-8"?>\n${SMALL}\n`))
  const refuse = (text: string, why: string) =>
    assert.throws(() => parseReferenceManifest(toUtf8(text)), FormatError, why)
  const change = (from: string, to: string) => {
    assert.ok(SMALL.includes(from), from)
    refuse(SMALL.replace(from, to), `${from} to ${to}`)
  }
  change('<SoftwareIdentity', '<!DOCTYPE x [<!ENTITY a "b">]><SoftwareIdentity')
  change('<SoftwareIdentity', '<!-- comment --><SoftwareIdentity')
  change('<ns0:Payload>', '<ns0:Payload><!-- comment -->')
  change('<ns0:Payload>', '<ns0:Payload><?pi ?>')
  change('<ns0:Payload>', '<ns0:Payload><![CDATA[]]>')
  change('<ns0:Payload>', '<ns0:Payload>text')
  change('<ns0:Payload>', '<ns0:Payload>&#10;')
  change('<ns0:Payload>', '<ns0:Payload>\r\n')
  change('<ns0:Payload>', '<ns0:Payload>\t')
  change('<ns0:Payload>', '<ns0:Payload xmlns="">')
  change('<ns0:Payload>', '<ns0:Payload xmlns:xml="x">')
  change('<ns0:Payload>', '<ns0:Payload xml:base="x">')
  change('<ns0:Payload>', '<ns9:Payload>')
  change('</ns0:Payload>', '</ns2:Payload>')
  change('name="FAKE"', "name='FAKE'")
  change('name="FAKE"', 'name="FAKE" name="FAKE"')
  change('name="FAKE"', 'name="&amp;"')
  change('name="FAKE"', 'name="<"')
  change('name="FAKE"', 'name="ä"')
  change('product="FAKE1"/>', 'product="FAKE1"></ns0:Meta><ns0:Meta/>')
  change('<ns0:Payload>', '<ns0:Payload></ns0:Payload><ns0:Payload>')
  change('index="0"', 'index="255"')
  change('index="0"', 'index="-1"')
  change('active="True"', 'active="true"')
  change('alternatives="1"', 'alternatives="2"')
  change('alternatives="1"', 'alternatives="0"')
  change('size="48"', 'size="49"')
  change('size="48"', 'size="48" other="1"')
  change('ns2:Hash0', 'ns2:Hash1')
  change('type="Measurement"', 'type="Other"')
  change('URI=""', 'URI="#other"')
  change('<ds:Reference ', '<ds:Reference Id="a" ')
  change('2006/12/xml-c14n11"/><ds:SignatureMethod', '2001/10/xml-exc-c14n#"/><ds:SignatureMethod')
  change('#ecdsa-sha384', '#ecdsa-sha1')
  change('more#sha384"/><ds:DigestValue', 'more#sha224"/><ds:DigestValue')
  change(
    '<ds:Transforms>',
    '<ds:Transforms><ds:Transform Algorithm="http://www.w3.org/TR/1999/REC-xslt-19991116"/>',
  )
  change('</ds:SignedInfo>', '</ds:SignedInfo><ds:Object/>')
  change('<ds:X509Data>', '<ds:X509Data><ds:X509Data/>')
  change('</SoftwareIdentity>', '<ds:Signature/></SoftwareIdentity>')
  refuse(`${SMALL}<a/>`, 'something after the root')
  refuse(`${'<a>'.repeat(9)}${'</a>'.repeat(9)}`, 'depth')
  refuse('', 'nothing')
  for (let length = 0; length < SMALL.length; length += 7)
    refuse(SMALL.slice(0, length), `cut at ${length}`)
})

test('a parser of hostile text ends soon', () => {
  const started = performance.now()
  for (const text of [
    `<a ${' b="c"'.repeat(100_000)}`,
    `<a>${' '.repeat(1_000_000)}`,
    `<a b="${'c'.repeat(1_000_000)}`,
    '<a>'.repeat(300_000),
    ' '.repeat(1_000_000),
  ])
    assert.throws(() => parseReferenceManifest(toUtf8(text)), FormatError)
  assert.ok(performance.now() - started < 5000)
})

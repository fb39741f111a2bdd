import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { sha256Digest } from './digest.ts'
import { openPacket, resourcePath, unwrapLayerKey } from './key-unwrap.ts'
import { decryptLayer } from './layer-cipher.ts'
import { layerKey, OCICRYPT, wrappedKeys, type Packet } from './ocicrypt.ts'
import type { Descriptor } from './manifest.ts'

const VECTORS = join(
  process.env['CLOISTER_VECTORS'] ?? join(import.meta.dirname, '../../../../shared/vectors'),
  'image/ocicrypt',
)
const skip = existsSync(VECTORS) ? false : 'no vectors: set CLOISTER_VECTORS'
const FAILED = { code: 'image.decryption-failed' }
const MALFORMED = { code: 'image.manifest-malformed' }

interface EncryptedLayerVector {
  kek_hex: string
  annotation_packet: Packet
  unwrapped_private_options_json: string
  plaintext_gzip_b64: string
  ciphertext_b64: string
  public_options: { cipher: typeof OCICRYPT.cipher; hmac: string; cipheroptions: object }
  pubopts_annotation: string
}

test('the published layer decrypts, and no flipped byte does', { skip }, async () => {
  const vector = readVector('encrypted-layer.json') as EncryptedLayerVector
  const kek = Buffer.from(vector.kek_hex, 'hex')
  const opened = openPacket(vector.annotation_packet, kek)
  assert.deepEqual(
    JSON.parse(Buffer.from(opened).toString()),
    JSON.parse(vector.unwrapped_private_options_json),
  )
  const layer = descriptor({
    [OCICRYPT.publicOptions]: vector.pubopts_annotation,
    [OCICRYPT.attestationAgent]: base64(vector.annotation_packet),
  })
  const published = await unwrapLayerKey(layer, async () => opened)
  const plain = Buffer.from(vector.plaintext_gzip_b64, 'base64')
  // The digest in the private options is of the image that the sample was taken from; the sample's bytes are others.
  const key = { ...published, plainDigest: sha256Digest(plain) }
  const ciphertext = Buffer.from(vector.ciphertext_b64, 'base64')
  assert.deepEqual(await collect(ciphertext, key), plain)
  for (let at = 0; at < ciphertext.length; at++) {
    const flipped = Buffer.from(ciphertext)
    flipped[at]! ^= 0x80
    await assert.rejects(collect(flipped, key), FAILED)
  }
  await assert.rejects(collect(ciphertext.subarray(1), key), FAILED)
  if (published.plainDigest !== key.plainDigest)
    await assert.rejects(collect(ciphertext, published), FAILED)
})

test('packets: another key, a changed packet, another wrapping', { skip }, () => {
  const vector = readVector('encrypted-layer.json') as EncryptedLayerVector
  const [packet, kek] = [vector.annotation_packet, Buffer.from(vector.kek_hex, 'hex')]
  assert.throws(() => openPacket(packet, Buffer.alloc(32)), FAILED)
  assert.throws(() => openPacket({ ...packet, iv: 'AAAAAAAAAAAAAAAA' }, kek), FAILED)
  assert.throws(() => openPacket({ ...packet, wrap_type: 'A256CTR' }, kek), FAILED)
  assert.throws(() => openPacket({ ...packet, wrapped_data: '' }, kek), FAILED)
  assert.throws(() => openPacket(packet, kek.subarray(1)), FAILED)
})

test('packets of both versions parse, strange key ids are refused', { skip }, () => {
  const v1 = readVector('v1.json')
  const [wrapped] = wrappedKeys(descriptor({ [OCICRYPT.attestationAgent]: base64(v1) }))
  assert.equal(wrapped?.scheme, 'provider')
  assert.equal(wrapped?.scheme === 'provider' && wrapped.packet.provider, 'kbs')
  assert.equal(wrapped?.scheme === 'provider' && wrapped.packet.version, '0.1.0')
  assert.equal(resourcePath('kbs:///default/key/1'), 'default/key/1')
  const strange = [
    'kbs:///kbs:///default/key/1',
    'kbs://broker/default/key/1',
    'kbs:///default/key',
    'file:///etc/passwd',
    'kbs:///../key/1',
  ]
  for (const kid of strange)
    assert.throws(() => resourcePath(kid), { code: 'image.key-refused' }, kid)
})

test('recipients: several in one annotation, the broker first, a bound on their number', () => {
  const packet = { kid: 'kbs:///a/b/c', wrapped_data: 'AA==' }
  const layer = descriptor({
    [OCICRYPT.jwe]: base64('jwe'),
    [`${OCICRYPT.keys}pkcs7`]: base64('x'),
    [OCICRYPT.attestationAgent]: `${base64(packet)},${base64(packet)}`,
  })
  assert.deepEqual(
    wrappedKeys(layer).map(({ scheme }) => scheme),
    ['provider', 'provider', 'jwe', 'other'],
  )
  const many = Array.from({ length: 17 }, () => base64(packet)).join(',')
  assert.throws(() => wrappedKeys(descriptor({ [OCICRYPT.attestationAgent]: many })), MALFORMED)
  assert.throws(() => wrappedKeys(descriptor({ [OCICRYPT.attestationAgent]: '!' })), MALFORMED)
})

test('options: an empty MAC, short keys, a missing nonce or another cipher are refused', async () => {
  const options = { cipher: OCICRYPT.cipher, hmac: Buffer.alloc(32).toString('base64') }
  const secret = {
    symkey: Buffer.alloc(32).toString('base64'),
    digest: `sha256:${'a'.repeat(64)}`,
    cipheroptions: { nonce: Buffer.alloc(16).toString('base64') },
  }
  const join = (change: object, changeSecret: object = {}) =>
    layerKey(
      { ...options, cipheroptions: {}, ...change },
      Buffer.from(JSON.stringify({ ...secret, ...changeSecret })),
    )
  assert.equal(join({}).nonce.length, 16)
  assert.throws(() => join({ hmac: '' }), FAILED)
  assert.throws(() => join({}, { symkey: 'AAAA' }), FAILED)
  assert.throws(() => join({}, { cipheroptions: {} }), FAILED)
  assert.throws(() => join({}, { digest: '' }), MALFORMED)
  const other = descriptor({ [OCICRYPT.publicOptions]: base64({ ...options, cipher: 'NONE' }) })
  await assert.rejects(unwrapLayerKey(other, undefined), MALFORMED)
  await assert.rejects(unwrapLayerKey(descriptor({}), undefined), MALFORMED)
})

function readVector(name: string): unknown {
  return JSON.parse(readFileSync(join(VECTORS, name), 'utf8'))
}

function descriptor(annotations: Record<string, string>): Descriptor {
  return { mediaType: 'x', digest: `sha256:${'0'.repeat(64)}`, size: 1, annotations }
}

function base64(value: unknown): string {
  return Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64')
}

async function collect(ciphertext: Uint8Array, key: ReturnType<typeof layerKey>): Promise<Buffer> {
  async function* input(): AsyncGenerator<Uint8Array> {
    yield ciphertext.subarray(0, 7)
    yield ciphertext.subarray(7)
  }
  const chunks: Uint8Array[] = []
  for await (const chunk of decryptLayer(input(), key)) chunks.push(Uint8Array.from(chunk))
  return Buffer.concat(chunks)
}

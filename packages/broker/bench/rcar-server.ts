/**
 * A broker in a process of its own, for `bench/broker-rcar.ts`: started with a simulated root's fingerprint and the workload's initdata
 * in its first message, it answers with its address, then `cpu` and `floor` with microseconds and `memory` with MiB.
 */
import {
  createCipheriv,
  createDecipheriv,
  createPublicKey,
  createSecretKey,
  diffieHellman,
  generateKeyPairSync,
  hash,
  randomBytes,
  sign,
  verify,
  type KeyObject,
} from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { registerDemo, startTestBroker } from '../src/testing/test-broker.ts'

interface Start {
  readonly fingerprint: string
  readonly initdata: string
}

/** One address stands for a fleet's many here: each handshake has its entries in the audit, as those of guests on many hosts have. */
const unlimited = {
  burst: 1e9,
  perSecond: 1e9,
  entriesPerAddress: 1e9,
  entriesPerWorkload: 1e9,
}

function memory() {
  const status = readFileSync('/proc/self/status', 'utf8')
  const mebibytes = (name: string) =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1]) / 1024
  return { rss: mebibytes('VmRSS'), anonymous: mebibytes('RssAnon') }
}

function cpu(): number {
  const { user, system } = process.cpuUsage()
  return user + system
}

const data = Buffer.alloc(672, 7)
const p384 = generateKeyPairSync('ec', { namedCurve: 'P-384' })
const p256 = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const report = sign('sha384', data, p384.privateKey)
const guestKey = p256.publicKey.export({ format: 'pem', type: 'spki' })
const kek = createSecretKey(randomBytes(32))
const iv = randomBytes(12)
const sealed = encrypt(kek, data.subarray(0, 32))

/** Plain text of TLS records both ways: Request and Challenge, Attestation and its token, the request with the token and the JWE. */
const RECORDS = [300, 350, 9700, 4600, 4500, 600].map((size) => Buffer.alloc(size))
const tls = createCipheriv('aes-256-gcm', kek, iv)
/** Of an attestation and of a release, as the audit has them. */
const AUDITED = [7000, 2800].map((size) => Buffer.alloc(size, 'x'))

/**
 * CPU time of what no broker can leave out, in the forms that cost Node least: the report's signature and what it must be bound to, the token's
 * signature, the guest's key, the key agreement and encryption of the JWE, opening the stored secret and its key, the audit's hashes, and the cipher of the TLS records
 * (as OpenSSL's own, with no call of ours for each).
 */
function nativeCryptography(): number {
  const start = cpu()
  verify('sha384', data, p384.publicKey, report)
  for (const algorithm of ['sha384', 'sha256', 'sha256']) hash(algorithm, data, 'buffer')
  sign('sha256', data, p256.privateKey)
  for (const entry of AUDITED) hash('sha256', entry, 'buffer')
  for (const record of RECORDS) tls.update(record)
  for (const bytes of [32, 16, 16]) randomBytes(bytes)
  for (let opened = 0; opened < 2; opened++) {
    const decipher = createDecipheriv('aes-256-gcm', kek, iv).setAuthTag(sealed.tag)
    decipher.update(sealed.ciphertext)
    decipher.final()
  }
  const publicKey = createPublicKey(guestKey)
  const ephemeral = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  ephemeral.publicKey.export({ format: 'jwk' })
  const agreed = diffieHellman({ privateKey: ephemeral.privateKey, publicKey })
  const wrappingKey = createSecretKey(hash('sha256', agreed, 'buffer'))
  const wrap = createCipheriv('id-aes256-wrap', wrappingKey, Buffer.alloc(8, 0xa6))
  wrap.update(randomBytes(32))
  wrap.final()
  encrypt(createSecretKey(randomBytes(32)), data.subarray(0, 32))
  return cpu() - start
}

function encrypt(key: KeyObject, plain: Uint8Array): { ciphertext: Buffer; tag: Buffer } {
  const cipher = createCipheriv('aes-256-gcm', key, iv)
  const ciphertext = Buffer.concat([cipher.update(plain), cipher.final()])
  return { ciphertext, tag: cipher.getAuthTag() }
}

const ANSWERS = { cpu, memory, floor: nativeCryptography }

process.once('message', ({ fingerprint, initdata }: Start) => {
  void (async () => {
    const t = await startTestBroker({
      simulatedRoots: [fingerprint],
      limits: unlimited,
    })
    await registerDemo(t, {
      initdata: Buffer.from(initdata),
      value: Buffer.from('secret'),
      anchors: 'simulated',
      mode: 'simulated',
    })
    process.on('message', (question: keyof typeof ANSWERS) => {
      process.send?.(ANSWERS[question]())
    })
    process.once('disconnect', () => {
      void t[Symbol.asyncDispose]()
    })
    process.send?.({
      url: t.broker.url,
      certificate: readFileSync(join(t.directory, 'tls.crt'), 'utf8'),
    })
  })()
})

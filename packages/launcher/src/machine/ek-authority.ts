/**
 * The site's certificate authority for endorsement keys of vTPMs: who meets one of its certificates knows that Cloister on that host made
 * the TPM. It says nothing against the host, which holds the authority's key and every TPM's state.
 */
import {
  createHash,
  createPrivateKey,
  generateKeyPair,
  randomBytes,
  X509Certificate,
} from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { CloisterError } from '@cloister/protocol/error'
import { toHex } from '@cloister/verifier/bytes/hex'
import { encodePem, parsePem } from '@cloister/verifier/formats/pem'
import { NAME_OID } from '@cloister/verifier/formats/x509-name'
import { keySigner, spkiOf } from '@cloister/verifier/node/key-signer'
import { createOnce } from '../write-once.ts'
import { issueAuthority, issueEkCertificate, type EkSubject } from './ek-certificate.ts'

export interface EkAuthority {
  /** The authority's own certificate, DER: the trust anchor. P-384. */
  readonly certificate: Uint8Array
  /** SHA-256 of {@link certificate}, hex. */
  readonly fingerprint: string
  /** A certificate of the TCG EK Credential Profile, DER. */
  issue(subject: EkSubject): Uint8Array
}

const FILE = 'authority.pem'
/** For clocks that differ. */
const SLACK_MS = 3_600_000
/** RFC 5280, 4.1.2.5: no well-defined end. The TPM's life ends with its VM. */
const NO_END = new Date('9999-12-31T23:59:59Z')

/**
 * Opens the authority, or makes it.
 * @param directory - of its one file; made when absent
 * @throws CloisterError `vtpm.authority-unreadable`, `vm.folder-denied`, `host.disk-full`
 */
export async function openEkAuthority(directory: string): Promise<EkAuthority> {
  const path = join(directory, FILE)
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined
    throw new CloisterError('vtpm.authority-unreadable', { where: path, cause: error })
  })
  return parseAuthority(text ?? (await createOnce(path, await makeAuthority())), path)
}

function parseAuthority(text: string, where: string): EkAuthority {
  try {
    const [first] = parsePem(text.slice(text.indexOf('-----BEGIN CERTIFICATE')))
    const certificate = first?.der ?? new Uint8Array()
    const key = createPrivateKey(text)
    if (!new X509Certificate(certificate).checkPrivateKey(key))
      throw new TypeError('the key is not that of the certificate')
    const signer = keySigner(key)
    const authoritySpki = spkiOf(key)
    return {
      certificate,
      fingerprint: createHash('sha256').update(certificate).digest('hex'),
      issue(subject) {
        const naming = { issuer: nameOf(authoritySpki), authoritySpki, ...validity() }
        return issueEkCertificate(subject, naming, signer)
      },
    }
  } catch (error) {
    throw new CloisterError('vtpm.authority-unreadable', { where, cause: error })
  }
}

async function makeAuthority(): Promise<string> {
  const { privateKey } = await promisify(generateKeyPair)('ec', { namedCurve: 'P-384' })
  const authoritySpki = spkiOf(privateKey)
  const naming = { issuer: nameOf(authoritySpki), authoritySpki, ...validity() }
  const certificate = issueAuthority(naming, keySigner(privateKey))
  const key = privateKey.export({ format: 'pem', type: 'pkcs8' })
  return `${key.toString()}${encodePem('CERTIFICATE', certificate)}`
}

/** Each site's own, so that a chain of another's is not taken for it by name. */
function nameOf(spki: Uint8Array) {
  const id = toHex(createHash('sha256').update(spki).digest().subarray(0, 8))
  return [
    { oid: NAME_OID.organization, value: 'Cloister host' },
    { oid: NAME_OID.commonName, value: `vTPM endorsement authority ${id}` },
  ]
}

function validity() {
  const serial = randomBytes(16)
  // Positive, and without a leading zero byte.
  serial.writeUInt8((serial.readUInt8(0) & 0x7f) | 0x40, 0)
  return { serial, notBefore: new Date(Date.now() - SLACK_MS), notAfter: NO_END }
}

/** The NoCloud seed: a small disk, labelled CIDATA, from which cloud-init takes a new VM's host name, users and keys. */
import { CloisterError } from '@cloister/protocol/error'
import { encodeFatImage } from './fat-image.ts'

export interface Seed {
  /** cloud-init does first-boot work once for each: 1 to 64 of `A-Z a-z 0-9 . _ -`. */
  readonly instanceId: string
  /** RFC 1123. */
  readonly hostname: string
  /** As `--cloud-init FILE` gives it: `#cloud-config`, a script, or MIME; UTF-8. Absent: only what stands here. */
  readonly userData?: Uint8Array
  /** Lines of `authorized_keys` without options, for the image's default user. */
  readonly sshKeys: readonly string[]
  /** Network configuration, YAML. Absent: the image's own (DHCP). */
  readonly networkConfig?: Uint8Array
}

const MAX_USER_DATA_BYTES = 512 << 10
const MAX_NETWORK_BYTES = 64 << 10
const MAX_KEYS = 64
const MAX_KEY_BYTES = 16 << 10

/**
 * The same bytes for the same seed: a FAT image with `meta-data`, `user-data` and, if given, `network-config`.
 * @throws CloisterError `seed.invalid`, `seed.too-large`
 */
export function encodeSeed(seed: Seed): Uint8Array {
  checkSeed(seed)
  const { instanceId, hostname, sshKeys, userData, networkConfig } = seed
  // JSON is YAML; cloud-init gives the keys to the default user.
  const metadata = {
    'instance-id': instanceId,
    'local-hostname': hostname,
    ...(sshKeys.length > 0 && { 'public-keys': sshKeys.map((key) => key.trim()) }),
  }
  return encodeFatImage('CIDATA', [
    { name: 'meta-data', content: Buffer.from(`${JSON.stringify(metadata)}\n`) },
    { name: 'user-data', content: userData ?? Buffer.from('#cloud-config\n{}\n') },
    ...(networkConfig === undefined ? [] : [{ name: 'network-config', content: networkConfig }]),
  ])
}

function checkSeed({ instanceId, hostname, sshKeys, userData, networkConfig }: Seed): void {
  const invalid = (where: string, received?: string) =>
    new CloisterError('seed.invalid', { where, ...(received !== undefined && { received }) })
  if (!/^[A-Za-z0-9._-]{1,64}$/.test(instanceId)) throw invalid('instance id', instanceId)
  const label = '[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?'
  if (hostname.length > 253 || !new RegExp(`^${label}(?:\\.${label})*$`, 'i').test(hostname))
    throw invalid('host name', hostname.slice(0, 80))
  if (sshKeys.length > MAX_KEYS) throw new CloisterError('seed.too-large', { where: 'SSH keys' })
  for (const key of sshKeys) if (!isPublicKey(key)) throw invalid('SSH key', key.slice(0, 80))
  if (userData !== undefined) {
    const text = checkedText(userData, MAX_USER_DATA_BYTES, 'user data')
    if (!/^(?:#|Content-Type:|MIME-Version:)/.test(text))
      throw invalid('user data', `it begins with ${JSON.stringify(text.slice(0, 20))}`)
  }
  if (networkConfig !== undefined) checkedText(networkConfig, MAX_NETWORK_BYTES, 'network config')
}

function checkedText(bytes: Uint8Array, most: number, where: string): string {
  if (bytes.length > most)
    throw new CloisterError('seed.too-large', { where, expected: `at most ${most} bytes` })
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (error) {
    throw new CloisterError('seed.invalid', { where, received: 'not UTF-8', cause: error })
  }
}

/** `type base64 comment` (sshd(8)), whose blob says the same type; a line with options is refused, for they are for servers. */
function isPublicKey(line: string): boolean {
  if (line.length > MAX_KEY_BYTES) return false
  const pattern =
    /^((?:sk-)?(?:ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(?:256|384|521))(?:@openssh\.com)?) ([A-Za-z0-9+/]+={0,2})(?: [^\r\n\0]*)?$/
  const [, type, blob] = pattern.exec(line.trim()) ?? []
  if (type === undefined || blob === undefined) return false
  const bytes = Buffer.from(blob, 'base64')
  return (
    bytes.length > 4 + type.length &&
    bytes.readUInt32BE(0) === type.length &&
    bytes.toString('latin1', 4, 4 + type.length) === type
  )
}

/** User-data for cloud-init: the owner's, and beside it the ssh key by which the guest will prove itself. */
import type { KeyPair } from './ssh-identity.ts'

/** First lines by which cloud-init tells kinds of user-data apart, and their MIME types. */
const KINDS: readonly (readonly [RegExp, string])[] = [
  [/^#cloud-config\b/, 'text/cloud-config'],
  [/^## template: jinja/, 'text/jinja2'],
  [/^#!/, 'text/x-shellscript'],
  [/^#include\b/, 'text/x-include-url'],
  [/^#cloud-boothook\b/, 'text/cloud-boothook'],
]

export interface ComposedUserData {
  readonly userData: Uint8Array
  /** Whether the host key is in it. */
  readonly hasHostKey: boolean
}

/**
 * @param given - the owner's user-data. What has keys of its own, or cannot be put beside another part, goes in as it is
 */
export function composeUserData(given: Uint8Array | undefined, hostKey: KeyPair): ComposedUserData {
  const ours = Buffer.from(hostKeyConfig(hostKey))
  if (given === undefined) return { userData: ours, hasHostKey: true }
  const text = Buffer.from(given).toString('utf8')
  const kind = KINDS.find(([start]) => start.test(text))?.[1]
  if (kind === undefined || /^ssh_(?:keys|deletekeys|genkeytypes)\s*:/m.test(text))
    return { userData: given, hasHostKey: false }
  const parts = [
    { type: 'text/cloud-config', bytes: ours },
    { type: kind, bytes: Buffer.from(given) },
  ]
  return { userData: Buffer.from(multipart(parts)), hasHostKey: true }
}

/** cloud-init makes no other host keys where these stand. */
function hostKeyConfig({ privateKey, publicKey }: KeyPair): string {
  const indented = privateKey
    .trim()
    .split('\n')
    .map((line) => `    ${line}`)
    .join('\n')
  return `#cloud-config\nssh_keys:\n  ed25519_private: |\n${indented}\n  ed25519_public: ${publicKey}\n`
}

/** RFC 2046 multipart; base64, so that no byte of a part can look like a boundary. */
function multipart(parts: readonly { readonly type: string; readonly bytes: Buffer }[]): string {
  const boundary = 'cloister-user-data'
  const lines = [`Content-Type: multipart/mixed; boundary="${boundary}"`, 'MIME-Version: 1.0', '']
  for (const { type, bytes } of parts)
    lines.push(
      `--${boundary}`,
      `Content-Type: ${type}; charset="utf-8"`,
      'MIME-Version: 1.0',
      'Content-Transfer-Encoding: base64',
      '',
      ...(bytes.toString('base64').match(/.{1,76}/g) ?? []),
      '',
    )
  return [...lines, `--${boundary}--`, ''].join('\n')
}

/**
 * Makes virtual TPMs by swtpm_setup. It runs under the uid under which the VM's swtpm will run, in a folder of its own. The authority's key stays in
 * this process: the tool that swtpm_setup calls for a certificate is a script that hands its words to us and our certificate back.
 */
import { createPublicKey, randomBytes, type JsonWebKey } from 'node:crypto'
import {
  access,
  chmod,
  chown,
  lchown,
  lstat,
  mkdir,
  open,
  rename,
  rm,
  writeFile,
} from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { CloisterError } from '@cloister/protocol/error'
import { findProgram } from '../find-program.ts'
import { openForeign } from '../open-foreign.ts'
import { startOwn, type OwnProcess } from '../own-process.ts'
import { killGroup } from '../process-identity.ts'
import { writeError } from '../vm-files.ts'
import type { VtpmFiles } from '../vm-spec.ts'
import type { EkAuthority } from './ek-authority.ts'
import type { TpmModel } from './ek-certificate.ts'
import { giveState, vtpmLowering } from './vtpm-process.ts'

export interface VtpmRequest extends VtpmFiles {
  /** Of the VM; it stands in the certificates. 1 to 64 of `a-z A-Z 0-9 . _ -`. */
  readonly vmId: string
  readonly authority: EkAuthority
}

export interface ManufacturedVtpm {
  /** Certificates of the endorsement keys (RSA-2048, P-384), DER, as they stand in the TPM's NVRAM. */
  readonly certificates: { readonly rsa: Uint8Array; readonly ecc: Uint8Array }
  /** Who can open the state: the host alone, which the key therefore does not keep out. It keeps out who steals the disk without it. */
  readonly keyHolder: 'host'
}

/** Only root lowers what it starts, and takes back what that made. */
const ROOT = 0
/** Two key generations: a second or two. */
const TIMEOUT_MS = 60_000
const PAUSE_MS = 20
const KEY_BYTES = 32
const MAX_REQUEST_BYTES = 16 << 10

/** Names in the work folder. */
const WORK = {
  state: 'state',
  key: 'key',
  tool: 'certify',
  config: 'setup.conf',
  request: 'request',
  reply: 'reply',
} as const

/** Waits for us at most as long as we wait for it; ends when its parent does. */
const TOOL = `#!/bin/sh
set -eu
dir=.
previous=
for word; do
  [ "$previous" != --dir ] || dir=$word
  previous=$word
done
printf '%s\\n' "$@" > ${WORK.request}.new
mv ${WORK.request}.new ${WORK.request}
while [ ! -e ${WORK.reply} ]; do
  kill -0 "$PPID"
  sleep 0.02
done
mv ${WORK.reply} "$dir/ek.cert"
`

/**
 * Makes a TPM 2.0 with endorsement keys and their certificates; its state is encrypted with a new key.
 * Neither the folder nor the key's file may exist.
 *
 * @throws CloisterError `vtpm.missing`, `vtpm.manufacture-failed`, `vm.id-taken`, `vm.folder-denied`, `host.disk-full`; nothing is left then
 */
export async function manufactureVtpm(
  request: VtpmRequest,
  signal?: AbortSignal,
): Promise<ManufacturedVtpm> {
  const { stateDirectory, key, vmId } = request
  if (!/^[A-Za-z0-9._-]{1,64}$/.test(vmId)) throw new RangeError('vmId')
  const program = await findProgram('swtpm_setup')
  if (program === undefined) throw new CloisterError('vtpm.missing', { where: 'swtpm_setup' })
  await requireAbsent(stateDirectory, key)
  const lowered = vtpmLowering(vmId)
  const work = `${stateDirectory}.new`
  try {
    await prepare(work, lowered?.uid)
    const setup = await startOwn({
      program,
      lowering: lowered,
      directory: work,
      files: [],
      arguments: () => setupWords(vmId),
      errors: { missing: 'vtpm.missing', failed: 'vtpm.manufacture-failed' },
    })
    const certificates = await certify(setup, work, request, signal)
    if (lowered !== undefined) await takeBack(work)
    await mkdir(dirname(key), { recursive: true, mode: 0o700 })
    await rename(join(work, WORK.key), key)
    await rename(join(work, WORK.state), stateDirectory).catch(async (error: unknown) => {
      await rm(key, { force: true })
      throw error
    })
    return { certificates, keyHolder: 'host' }
  } catch (error) {
    throw writeError(error, stateDirectory)
  } finally {
    await rm(work, { recursive: true, force: true })
  }
}

async function requireAbsent(...paths: readonly string[]): Promise<void> {
  for (const where of paths)
    if (await isThere(where)) throw new CloisterError('vm.id-taken', { where })
}

function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  )
}

async function prepare(work: string, uid: number | undefined): Promise<void> {
  // What a crash left there is nobody's.
  await rm(work, { recursive: true, force: true })
  await mkdir(join(work, WORK.state), { recursive: true, mode: 0o700 })
  await chmod(work, 0o700)
  await writeFile(join(work, WORK.key), randomBytes(KEY_BYTES).toString('hex'), { mode: 0o600 })
  await writeFile(join(work, WORK.tool), TOOL, { mode: 0o500 })
  await writeFile(join(work, WORK.config), `create_certs_tool = /proc/self/cwd/${WORK.tool}\n`, {
    mode: 0o400,
  })
  if (uid === undefined) return
  for (const name of ['', WORK.state, WORK.key, WORK.tool, WORK.config])
    await chown(join(work, name), uid, uid)
}

function setupWords(vmId: string): string[] {
  return [
    '--tpm2',
    '--tpmstate',
    WORK.state,
    '--config',
    WORK.config,
    '--vmid',
    vmId,
    '--pcr-banks',
    'sha256,sha384',
    '--keyfile',
    WORK.key,
    '--cipher',
    'aes-256-cbc',
    '--create-ek-cert',
    '--lock-nvram',
  ]
}

/** Attacker-controlled: the folder was swtpm's, so what stands at a name may be a link. Ours first, so that nothing there changes any more. */
async function takeBack(work: string): Promise<void> {
  await lchown(work, ROOT, ROOT)
  const [state, key] = [join(work, WORK.state), join(work, WORK.key)]
  const found = await lstat(key)
  if (!(await lstat(state)).isDirectory() || !found.isFile() || found.nlink !== 1)
    throw new CloisterError('vtpm.manufacture-failed', { where: work, received: 'a link' })
  await lchown(key, ROOT, ROOT)
  await giveState(state, ROOT)
}

/** Answers each request for a certificate until swtpm_setup ends. */
async function certify(
  setup: OwnProcess,
  work: string,
  { authority, vmId }: VtpmRequest,
  signal: AbortSignal | undefined,
): Promise<ManufacturedVtpm['certificates']> {
  const issued = new Map<'rsa' | 'ecc', Uint8Array>()
  const failed = (cause?: unknown) =>
    new CloisterError('vtpm.manufacture-failed', { received: setup.said().slice(-1000), cause })
  const deadline = performance.now() + TIMEOUT_MS
  const ending: { found?: Awaited<typeof setup.ended> } = {}
  void setup.ended.then((found) => (ending.found = found))
  try {
    while (ending.found === undefined) {
      signal?.throwIfAborted()
      if (performance.now() > deadline) throw failed()
      const path = join(work, WORK.request)
      if (await isThere(path)) {
        const { kind, spki, tpm } = parseRequest(await readRequest(path))
        await rm(path)
        const certificate = authority.issue({ spki, commonName: vmId, tpm })
        issued.set(kind, certificate)
        await giveReply(work, certificate)
      }
      await sleep(PAUSE_MS)
    }
  } catch (error) {
    // The swtpm that it started is in its group, and would outlive it.
    await killGroup(setup.identity)
    throw error instanceof RangeError ? failed(error) : error
  }
  const [rsa, ecc] = [issued.get('rsa'), issued.get('ecc')]
  if (ending.found.exitCode !== 0 || rsa === undefined || ecc === undefined) throw failed()
  return { rsa, ecc }
}

/** The folder belongs to swtpm's uid; no more than a request is read. */
async function readRequest(path: string): Promise<string> {
  await using handle = await openForeign(path, 'read')
  const bytes = Buffer.alloc(MAX_REQUEST_BYTES)
  const { bytesRead } = await handle.read(bytes, 0, bytes.length, 0)
  return bytes.toString('utf8', 0, bytesRead)
}

/** Whole at once, for the script takes what it finds. */
async function giveReply(work: string, certificate: Uint8Array): Promise<void> {
  const draft = join(work, `${WORK.reply}.new`)
  await rm(draft, { force: true })
  {
    await using handle = await open(draft, 'wx')
    await handle.writeFile(certificate)
    // Whatever our umask: swtpm_setup reads it under its own uid.
    await handle.chmod(0o644)
  }
  await rename(draft, join(work, WORK.reply))
}

interface CertificateRequest {
  readonly kind: 'rsa' | 'ecc'
  readonly spki: Uint8Array
  readonly tpm: TpmModel
}

/**
 * The words of swtpm_setup for its certificate tool (swtpm_localca(8)), one a line: options, each with its value.
 * @throws RangeError
 */
export function parseRequest(text: string): CertificateRequest {
  const words = text.split('\n')
  const value = (option: string, pattern: RegExp) => {
    const found = words[words.indexOf(option) + 1]
    if (!words.includes(option) || found === undefined || !pattern.test(found))
      throw new RangeError(`${option} of the certificate request`)
    return found
  }
  value('--type', /^ek$/)
  const key = value('--ek', /^(?:[0-9a-f]{512,1024}|x=[0-9a-f]+,y=[0-9a-f]+,id=secp384r1)$/i)
  const tpm = {
    manufacturer: value('--tpm-manufacturer', /^id:[0-9A-Fa-f]{8}$/),
    model: value('--tpm-model', /^[A-Za-z0-9 ._-]{1,32}$/),
    version: value('--tpm-version', /^id:[0-9A-Fa-f]{1,16}$/),
    family: value('--tpm-spec-family', /^2\.0$/),
    level: Number(value('--tpm-spec-level', /^\d{1,5}$/)),
    revision: Number(value('--tpm-spec-revision', /^\d{1,5}$/)),
  }
  const point = /^x=([0-9a-f]+),y=([0-9a-f]+),/i.exec(key)
  const jwk =
    point === null
      ? { kty: 'RSA', n: base64url(key), e: 'AQAB' }
      : {
          kty: 'EC',
          crv: 'P-384',
          x: base64url((point[1] ?? '').padStart(96, '0')),
          y: base64url((point[2] ?? '').padStart(96, '0')),
        }
  return { kind: point === null ? 'rsa' : 'ecc', spki: encodeSpki(jwk), tpm }
}

/** @throws RangeError for a point that is not on the curve */
function encodeSpki(jwk: JsonWebKey): Uint8Array {
  try {
    return createPublicKey({ key: jwk, format: 'jwk' }).export({ format: 'der', type: 'spki' })
  } catch (error) {
    throw new RangeError('the endorsement key of the certificate request', { cause: error })
  }
}

function base64url(hex: string): string {
  return Buffer.from(hex, 'hex').toString('base64url')
}

/**
 * Decrypt, verify and unpack one image, natively: ours against `skopeo copy --decryption-key` followed by `umoci unpack` on the same image, with
 * one layer of about 124 MB and 7,500 files. Ours runs in a process of its own, whose peak memory is the second figure; its time is that of
 * the pull without Node's start, for the agent that pulls in a guest is running already.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { createHash, generateKeyPairSync } from 'node:crypto'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { buildImage } from '@cloister/oci/build-image'
import { encryptImage } from '@cloister/oci/encrypt-image'
import { openLayout } from '@cloister/oci/layout'
import { LayoutWriter } from '@cloister/oci/layout-writer'
import { encodeTarHeader, TAR_END, tarPadding } from '@cloister/oci/tar-writer'
import type { Figure } from './figure.ts'

const FILES = 7_500
const FILE_BYTES = 49_000
/** Of each file; the rest compresses to nearly nothing. */
const RANDOM_BYTES = 16_400
/** Each side runs so often, in turn; the best of each counts, for machines are noisy. */
const RUNS = 4
/**
 * In memory where there is such a place: ext4 searches for inodes that were not freed within the last minutes, half a millisecond for each file when
 * anybody has deleted many, and both sides would measure that.
 */
const PLACE = existsSync('/dev/shm') ? '/dev/shm' : tmpdir()
const MEMORY_PROMISE_MIB = 200
const SPEED_PROMISE = 4

export async function run(): Promise<readonly Figure[]> {
  const directory = mkdtempSync(join(PLACE, 'cloister-bench-oci-'))
  try {
    const keyFile = await buildEncrypted(directory)
    let [peers, seconds, peakMiB] = [Infinity, Infinity, 0]
    for (let round = 0; round < RUNS; round++) {
      peers = Math.min(peers, peerSeconds(directory, keyFile, round))
      const ours = ourRun(directory, keyFile, round)
      seconds = Math.min(seconds, ours.seconds)
      // The first run compiles, which the product does once in its life.
      if (round > 0) peakMiB = Math.max(peakMiB, ours.peakMiB)
    }
    return [
      {
        name: 'decrypt, verify, unpack 124 MB in 7,500 files',
        unit: 's',
        floor: peers,
        ours: seconds,
        promise: 'a quarter of skopeo and umoci',
        held: seconds * SPEED_PROMISE <= peers,
      },
      {
        name: 'the same, peak memory',
        unit: 'MiB',
        floor: 0,
        ours: peakMiB,
        promise: `under ${MEMORY_PROMISE_MIB} MiB`,
        held: peakMiB < MEMORY_PROMISE_MIB,
      },
    ]
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

/** The private key's file. */
async function buildEncrypted(directory: string): Promise<string> {
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const keyFile = join(directory, 'key.pem')
  writeFileSync(keyFile, privateKey.export({ type: 'pkcs8', format: 'pem' }))
  const plain = await LayoutWriter.open(join(directory, 'plain'))
  await buildImage({ sink: plain, tag: 'v1', layers: [{ tar: syntheticLayer() }], config: {} })
  await encryptImage({
    source: await openLayout(plain.directory),
    from: 'v1',
    sink: await LayoutWriter.open(join(directory, 'encrypted')),
    tag: 'v1',
    recipients: [{ scheme: 'jwe', publicKey }],
  })
  rmSync(plain.directory, { recursive: true })
  return keyFile
}

/** Files in directories of 100, each of pseudo-random bytes and text, the same at every run. */
async function* syntheticLayer(): AsyncGenerator<Uint8Array> {
  const shared = { uid: 0, gid: 0, mtime: 1_700_000_000 }
  const text = Buffer.alloc(FILE_BYTES - RANDOM_BYTES, 'all work and no play makes a dull layer\n')
  for (let index = 0; index < FILES; index++) {
    const folder = `usr/share/d${Math.floor(index / 100)}`
    if (index % 100 === 0)
      yield encodeTarHeader({ ...shared, type: '5', name: `${folder}/`, mode: 0o755, size: 0 })
    const name = `${folder}/f${index}`
    yield encodeTarHeader({ ...shared, type: '0', name, mode: 0o644, size: FILE_BYTES })
    yield createHash('shake256', { outputLength: RANDOM_BYTES }).update(name).digest()
    yield text
    yield tarPadding(FILE_BYTES)
  }
  yield TAR_END
}

function peerSeconds(directory: string, keyFile: string, round: number): number {
  const [opened, bundle] = [join(directory, `opened-${round}`), join(directory, `bundle-${round}`)]
  const started = performance.now()
  const [from, to] = [`oci:${join(directory, 'encrypted')}:v1`, `oci:${opened}:v1`]
  execFileSync('skopeo', ['copy', '--quiet', '--decryption-key', keyFile, from, to])
  execFileSync('umoci', ['unpack', '--image', `${opened}:v1`, bundle])
  const seconds = (performance.now() - started) / 1000
  for (const made of [opened, bundle]) rmSync(made, { recursive: true })
  return seconds
}

function ourRun(
  directory: string,
  keyFile: string,
  round: number,
): { seconds: number; peakMiB: number } {
  const root = join(directory, `root-${round}`)
  const program = fileURLToPath(import.meta.url)
  const args = [program, 'pull', join(directory, 'encrypted'), keyFile, root]
  // As the launcher script sets it: sources are not compiled anew at each start.
  const env = { ...process.env, NODE_COMPILE_CACHE: join(directory, 'compiled') }
  const { stdout, stderr, status } = spawnSync(process.execPath, args, { encoding: 'utf8', env })
  rmSync(root, { recursive: true, force: true })
  if (status !== 0) throw new Error(stderr)
  const [milliseconds, peakKiB] = stdout.trim().split(' ').map(Number) as [number, number]
  return { seconds: milliseconds / 1000, peakMiB: peakKiB / 1024 }
}

/** The process that is measured: pulls, then prints the milliseconds and its peak resident set in KiB. */
async function pullOnce(layoutDirectory: string, keyFile: string, root: string): Promise<void> {
  const { createPrivateKey } = await import('node:crypto')
  const { readFileSync } = await import('node:fs')
  const { jweUnwrapper } = await import('@cloister/oci/jwe')
  const { pullImage } = await import('@cloister/oci/pull')
  const { parseReference } = await import('@cloister/oci/reference')
  const { resolveImage } = await import('@cloister/oci/resolve-image')
  const started = performance.now()
  const source = await openLayout(layoutDirectory)
  await pullImage({
    source,
    reference: parseReference('localhost/bench:v1'),
    digest: (await resolveImage(source, 'v1')).digest,
    directory: root,
    unwrapKey: jweUnwrapper([createPrivateKey(readFileSync(keyFile))]),
  })
  console.log(performance.now() - started, process.resourceUsage().maxRSS)
}

if (process.argv[2] === 'pull')
  await pullOnce(...(process.argv.slice(3) as [string, string, string]))

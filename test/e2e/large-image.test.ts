/** Image pull in bounded memory: an encrypted layer that cannot be compressed, in a guest that has less memory than the layer has bytes. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { buildImage } from '@cloister/oci/build-image'
import { LayoutWriter } from '@cloister/oci/layout-writer'
import { encodeTarHeader, TAR_END } from '@cloister/oci/tar-writer'
import { DebianSoftware } from './debian-software.ts'
import { Deployment } from './deployment.ts'

/** The promise is about 1 GiB, which takes minutes without KVM, and 2 GiB of disk. */
const IS_LARGE = process.env['CLOISTER_E2E_LARGE'] === '1'
const [LAYER_MIB, GUEST_MIB] = IS_LARGE ? [1024, 512] : [288, 256]
const SIZE = LAYER_MIB << 20
const CHUNK = 1 << 20
const RUN_TIMEOUT_MS = 1_500_000

test(`an image of ${LAYER_MIB} MiB in a guest of ${GUEST_MIB} MiB`, async (t) => {
  const debian = await DebianSoftware.open()
  const directory = mkdtempSync(join(tmpdir(), 'cl-large-'))
  t.after(() => rmSync(directory, { recursive: true, force: true }))
  await using deployment = await Deployment.create()
  const [root, plain, encrypted] = ['root', 'plain', 'encrypted'].map((name) =>
    join(directory, name),
  ) as [string, string, string]
  await debian.layOut(root, ['redis-tools'], ['usr/bin/redis-cli'], {})
  await buildImage({
    sink: await LayoutWriter.open(plain),
    tag: 'v1',
    layers: [{ directory: root }, { tar: randomFile() }],
    compression: 'zstd',
    config: { Entrypoint: ['/usr/bin/redis-cli', '--version'] },
  })
  const simulated = '--allow-simulated'
  await deployment.succeed('image', 'encrypt', `oci:${plain}:v1`, `oci:${encrypted}:v1`, simulated)
  const words = [
    'run',
    `oci:${encrypted}:v1`,
    '--tee',
    'simulated',
    '--memory',
    `${GUEST_MIB}M`,
    '--detach',
  ]
  const started = performance.now()
  const { exit, stdout, stderr } = await deployment.run([...words, '-o', 'json'], {
    timeoutMs: RUN_TIMEOUT_MS,
  })
  assert.equal(exit, 0, `${stdout}${stderr}`)
  const seconds = (performance.now() - started) / 1000
  t.diagnostic(`the container ran after ${seconds.toFixed(0)} s`)
  for (const { name, hostMs } of JSON.parse(stdout).stages)
    t.diagnostic(`${(hostMs / 1000).toFixed(1).padStart(7)} s  ${name}`)
})

/** A tar stream of one file of random bytes. */
async function* randomFile(): AsyncGenerator<Uint8Array> {
  const file = { type: '0', name: 'random', mode: 0o644, uid: 0, gid: 0, mtime: 0 } as const
  yield encodeTarHeader({ ...file, size: SIZE })
  for (let written = 0; written < SIZE; written += CHUNK) yield randomBytes(CHUNK)
  yield TAR_END
}

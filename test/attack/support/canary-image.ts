/** Small images whose content is a canary. The one that runs is Debian's static busybox, as the guest image has it, and a file that its container reads. */
import { randomBytes, type KeyObject } from 'node:crypto'
import { copyFile, mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { GuestImage } from '@cloister/image/images'
import { run } from '@cloister/image/run'
import { buildImage } from '@cloister/oci/build-image'
import { encryptImage } from '@cloister/oci/encrypt-image'
import { openLayout } from '@cloister/oci/layout'
import { LayoutWriter } from '@cloister/oci/layout-writer'
import { signImage } from '@cloister/oci/sign-image'

export const SECRET_FILE = '/run/secrets/canary'
/** A file of the image that the container reads again and again, past the page cache. */
const DATA_FILE = 'data'

/**
 * Proves once that it has the secret, and when it thinks that is, and that its system calls are filtered: nothing else keeps it from a user
 * namespace of its own. It keeps a copy of the secret in its scratch space; then reads from there for
 * as long as it lives.
 */
const PROGRAM = `#!/bin/sh
cat ${SECRET_FILE} /${DATA_FILE} >/kept
sync
echo "secret $(sha256sum <${SECRET_FILE})"
echo "time $(date +%s)"
echo "filters $(grep -c '^Seccomp:.2$' /proc/self/status)"
echo "namespace $(unshare -U true 2>/dev/null && echo made || echo refused)"
while :; do
  dd if=/${DATA_FILE} of=/dev/null bs=4096 iflag=direct 2>/dev/null || echo "no data"
  sleep 1
done
`

const APPLETS = ['sh', 'cat', 'sync', 'sha256sum', 'date', 'grep', 'unshare', 'true', 'dd', 'sleep']

export interface SealPlan {
  /** Folder whose content becomes the one layer. */
  readonly rootfs: string
  /** Layout folder to write, and the tag in it. */
  readonly layout: string
  readonly tag: string
  /** Resource of the broker that will hold the key. */
  readonly imageKey: string
  readonly key: Uint8Array
  readonly signature: {
    readonly privateKey: KeyObject
    readonly reference: { readonly registry: string; readonly repository: string }
  }
}

/** Builds, encrypts and signs; the plain image is gone afterwards. @returns the manifest's digest */
export async function sealImage(plan: SealPlan): Promise<string> {
  const { rootfs, layout, tag, imageKey, key, signature } = plan
  const plain = await mkdtemp(join(tmpdir(), 'cl-plain-'))
  try {
    await buildImage({
      sink: await LayoutWriter.open(plain),
      tag,
      layers: [{ directory: rootfs }],
      config: { Entrypoint: ['/program'], Env: ['PATH=/bin'], WorkingDir: '/' },
    })
    const sink = await LayoutWriter.open(layout)
    const { digest } = await encryptImage({
      source: await openLayout(plain),
      from: tag,
      sink,
      tag,
      recipients: [{ scheme: 'broker', resource: imageKey, key }],
    })
    const source = await openLayout(layout)
    await signImage({ source, sink, manifestDigest: digest, ...signature })
    return digest
  } finally {
    await rm(plain, { recursive: true, force: true })
  }
}

/** An image that runs. @param canary - written into it. @returns the manifest's digest */
export async function makeCanaryImage(
  plan: Omit<SealPlan, 'rootfs'> & { readonly guestImage: GuestImage; readonly canary: string },
): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'cl-image-'))
  try {
    const rootfs = join(folder, 'rootfs')
    await layOut(rootfs, plan.canary, await busybox(plan.guestImage, folder))
    return await sealImage({ ...plan, rootfs })
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function layOut(rootfs: string, canary: string, program: string): Promise<void> {
  for (const name of ['bin', 'proc', 'sys', 'dev', 'run', 'tmp', 'etc'])
    await mkdir(join(rootfs, name), { recursive: true })
  await copyFile(program, join(rootfs, 'bin/busybox'))
  for (const applet of APPLETS) await symlink('busybox', join(rootfs, 'bin', applet))
  await writeFile(join(rootfs, 'program'), PROGRAM, { mode: 0o755 })
  const data = Buffer.concat([randomBytes(65_536), Buffer.from(canary)])
  await writeFile(join(rootfs, DATA_FILE), data)
}

/** From the packages that the guest image was built of. */
async function busybox({ directory }: GuestImage, folder: string): Promise<string> {
  const packages = join(directory, 'packages')
  const file = (await readdir(packages)).find((name) => name.startsWith('busybox-static_'))
  if (file === undefined) throw new Error(`no busybox-static in ${packages}`)
  const tree = join(folder, 'busybox')
  await run('dpkg-deb', ['--extract', join(packages, file), tree], {})
  return join(tree, 'usr/bin/busybox')
}

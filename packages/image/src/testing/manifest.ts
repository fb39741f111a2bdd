/** A manifest for tests, with the files that it names. */
import { createHash } from 'node:crypto'

import type { GuestImageManifest } from '@cloister/protocol/guest-image-manifest'

const ZERO = '0'.repeat(64)

/** File name to content, `manifest.json` among them. */
export function imageFiles(changes: Partial<GuestImageManifest> = {}): Record<string, string> {
  const contents = { vmlinuz: 'kernel', 'initrd.cpio': 'initrd', 'root.img': 'root' }
  const describe = (file: keyof typeof contents) => ({
    file,
    sha256: createHash('sha256').update(contents[file]).digest('hex'),
    size: contents[file].length,
  })
  const manifest: GuestImageManifest = {
    version: 1,
    name: 'base',
    imageVersion: 1,
    epoch: 1,
    architecture: 'x86_64',
    kernel: { ...describe('vmlinuz'), release: '6.12.0' },
    initrd: describe('initrd.cpio'),
    root: {
      ...describe('root.img'),
      verity: { rootHash: ZERO, salt: '', dataBlocks: 1, hashOffset: 4096 },
    },
    firmware: {},
    commandLines: { hardware: 'h', simulated: 's', probe: 'p', debug: 'd' },
    expected: { snp: { hardware: {}, simulated: {}, debug: {} } },
    inputs: [],
    ...changes,
  }
  return { ...contents, 'manifest.json': JSON.stringify(manifest) }
}

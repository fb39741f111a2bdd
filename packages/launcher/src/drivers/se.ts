/**
 * IBM Secure Execution on s390x: QEMU's `s390-pv-guest`. The kernel is an SE image (`genprotimg`, `pvimg`): kernel, initrd and command line
 * are encrypted in it to the machine's host key, and QEMU ignores its own initrd and command line.
 */
import { open } from 'node:fs/promises'
import { CloisterError } from '@cloister/protocol/error'
import { toHex } from '@cloister/verifier/bytes/hex'
import { bootFiles } from '../boot-files.ts'
import { seLeaves } from '../probe/se-leaves.ts'
import { readError } from '../vm-files.ts'
import type { TeeDriver } from './driver.ts'
import { requireHost } from './require-host.ts'
import { parseSeHeader, SE_IMAGE_HEAD_BYTES, type SeHeader } from './se-header.ts'

export const se: TeeDriver = {
  id: 'se',
  title: 'IBM Secure Execution',
  isHardware: true,
  devices: [],
  pinsMemory: false,
  probe: seLeaves,
  async arguments(spec, host) {
    await Promise.all([requireHost(se, host), readHeader(bootFiles(spec).kernel)])
    return {
      board: 's390',
      cpu: 'host',
      machine: ['confidential-guest-support=pv0'],
      objects: () => ['s390-pv-guest,id=pv0'],
      firmware: 'none',
      hasTeePort: false,
    }
  },
  /** The tags that an attestation measurement is made over. There is no launch digest. */
  async predict(spec) {
    const { pageList, addressList, tweakList, tag } = await readHeader(bootFiles(spec).kernel)
    return {
      pageListDigest: toHex(pageList),
      addressListDigest: toHex(addressList),
      tweakListDigest: toHex(tweakList),
      headerTag: toHex(tag),
    }
  },
}

/** @throws CloisterError `vm.file-missing`, `vm.file-unreadable`, `tee.firmware-unfit` for a kernel that is no SE image */
async function readHeader(path: string): Promise<SeHeader> {
  const bytes = new Uint8Array(SE_IMAGE_HEAD_BYTES)
  let length: number
  try {
    await using handle = await open(path)
    length = (await handle.read(bytes)).bytesRead
  } catch (error) {
    throw readError(error, path)
  }
  const header = parseSeHeader(bytes.subarray(0, length))
  if (header !== undefined) return header
  throw new CloisterError('tee.firmware-unfit', {
    where: path,
    why: 'the kernel is no Secure Execution image',
    fix: ['make one with genprotimg or pvimg create, for the host key of the machine'],
  })
}

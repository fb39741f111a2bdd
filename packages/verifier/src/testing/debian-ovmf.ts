/** The firmware that golden digests are known for: OVMF.fd of Debian's ovmf 2022.11-6+deb12u2. Node, tests only. */
import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'

export const OVMF_SHA256 = '7b456907dd0786d415999e801a1ac4637b8ed4d7cf5378cfc6edbe5e574dd773'
const PATHS = [process.env['CLOISTER_TEST_OVMF'] ?? '', '/usr/share/ovmf/OVMF.fd']

/** Undefined where it is not installed; `CLOISTER_TEST_OVMF` names another place. */
export function debianOvmf(): Uint8Array<ArrayBuffer> | undefined {
  return PATHS.filter((path) => path !== '' && existsSync(path))
    .map((path) => new Uint8Array(readFileSync(path)))
    .find((file) => createHash('sha256').update(file).digest('hex') === OVMF_SHA256)
}

export const WITH_OVMF: { readonly skip: string | false } = {
  skip:
    debianOvmf() === undefined
      ? "no OVMF.fd of Debian's ovmf 2022.11-6+deb12u2; set CLOISTER_TEST_OVMF"
      : false,
}

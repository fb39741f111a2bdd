/** Beginning of the name of every bundle among the guest images. */
const PREFIX = 'vm-'

/** Name of the boot bundle of a VM, among the guest images and at the broker. */
export function bundleName(vm: string): string {
  return `${PREFIX}${vm}`
}

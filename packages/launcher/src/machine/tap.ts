/** Network cards on a bridge of the host: a tap device for each VM, made and removed by us, opened by QEMU under its own uid. */

/** Names by which {@link makeTap} and {@link removeTap} know a VM's device: 15 characters at most. */
export function tapName(_runtimeDirectory: string): string {
  throw new Error('follows')
}

/** @throws CloisterError `network.bridge-missing`, `network.denied` */
export async function makeTap(
  _name: string,
  _bridge: string,
  _uid: number | undefined,
): Promise<void> {
  throw new Error('follows')
}

/** Nothing happens when there is none. */
export async function removeTap(_name: string): Promise<void> {
  throw new Error('follows')
}

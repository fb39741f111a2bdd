/**
 * A disk that boots in seconds: the guest image's kernel as an EFI application on a FAT file system, with an initrd whose init obeys lines
 * on the serial console. What the firmware starts, and with which options, stands in the variables (Boot0000).
 */
import { execFile } from 'node:child_process'
import { createConnection } from 'node:net'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { EFI_GLOBAL_VARIABLE } from '@cloister/verifier/tdx/rtmr'
import { encodeVariableStore, parseVariableStore } from '../machine/variable-store.ts'
import { ConsoleStream } from './console-stream.ts'
import { writeInitrdWith } from './initrd.ts'

const run = promisify(execFile)

/** Each line from the console is a command; each answer ends in `done`. */
const INIT = `#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t securityfs securityfs /sys/kernel/security
for module in virtio_blk failover net_failover virtio_net; do insmod /modules/$module.ko; done
exec </dev/ttyS0 >/dev/ttyS0 2>&1
stty -echo
echo 1 >/proc/sys/kernel/sysrq
echo 1 >/proc/sys/kernel/printk
echo "machine: up"
while read -r line; do
  case $line in
    reset) reboot -n -f ;;
    off) poweroff -n -f ;;
    panic) echo 0 >/proc/sys/kernel/panic; echo c >/proc/sysrq-trigger ;;
    *) sh -c "$line" ;;
  esac
  echo done
done
`

export interface MachineDiskRequest {
  readonly kernel: string
  readonly initrd: string
  /** Where the files go; the disk is `disk.img`. */
  readonly folder: string
}

/** @returns the path of a raw disk of 64 MiB */
export async function makeMachineDisk({ kernel, initrd, folder }: MachineDiskRequest) {
  const ownInitrd = join(folder, 'initrd.img')
  await writeMachineInitrd(initrd, ownInitrd)
  const path = join(folder, 'disk.img')
  await run('truncate', ['-s', '64M', path])
  await run('mformat', ['-i', path, '-F', '-v', 'MACHINE', '::'])
  await run('mcopy', ['-i', path, kernel, '::vmlinuz.efi'])
  await run('mcopy', ['-i', path, ownInitrd, '::initrd.img'])
  return path
}

/** The initrd of that disk, also for a direct boot; its init is `/machine`. */
export async function writeMachineInitrd(original: string, path: string): Promise<void> {
  await writeInitrdWith(original, { name: 'machine', text: INIT }, path)
}

/** Adds to a VM's variables what its firmware starts first. */
export async function addBootOption(variables: string): Promise<void> {
  const store = await readFile(variables)
  const known = parseVariableStore(store).filter(({ name }) => !name.startsWith('Boot'))
  const option = { vendor: EFI_GLOBAL_VARIABLE, attributes: 7, timestamp: new Uint8Array(16) }
  const boot = [
    { ...option, name: 'Boot0000', data: loadOption() },
    { ...option, name: 'BootOrder', data: Uint8Array.of(0, 0) },
    { ...option, name: 'Timeout', data: Uint8Array.of(0, 0) },
  ]
  await writeFile(variables, encodeVariableStore(store, [...known, ...boot]))
}

/** EFI_LOAD_OPTION (UEFI 2.10, 3.1.3): active, a path that the boot manager looks for on every file system. */
function loadOption(): Uint8Array {
  const text = (value: string) => Buffer.from(`${value}\0`, 'utf16le')
  const file = text('\\vmlinuz.efi')
  const node = Buffer.from([4, 4, 0, 0])
  node.writeUInt16LE(4 + file.length, 2)
  const path = Buffer.concat([node, file, Buffer.from([0x7f, 0xff, 4, 0])])
  const head = Buffer.alloc(6)
  head.writeUInt32LE(1)
  head.writeUInt16LE(path.length, 4)
  const options = text('console=ttyS0 panic=-1 initrd=\\initrd.img rdinit=/machine')
  return Buffer.concat([head, text('machine'), path, options])
}

/** The serial console of a machine, from the moment of the connection on. */
export class SerialConsole extends ConsoleStream {
  constructor(path: string) {
    super(createConnection(path))
  }

  /** What a command of the guest prints. */
  async run(command: string): Promise<string> {
    this.write(command)
    return (await this.until('done\r\n')).trim()
  }
}

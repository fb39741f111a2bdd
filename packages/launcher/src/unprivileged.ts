/**
 * How QEMU loses privileges. Started by an ordinary user it has none to lose. Started by root it runs under a uid of its own, made from the
 * VM's id, that no account has and no other VM shares; `setpriv` (util-linux) sets it before QEMU's first instruction, for QEMU's own
 * `-runas` cannot work under the sandbox that denies setuid.
 */
import { createHash } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'

/** uids from here on, 2^20 of them, are given to nobody by Linux distributions, systemd or subuid files. */
const FIRST_UID = 0x7c10_0000
const NOBODY = 65534

export interface Lowering {
  readonly uid: number
  /** What stands before QEMU's own command. */
  readonly command: readonly string[]
}

/** What QEMU must be able to do beyond an ordinary user. */
export interface Needs {
  /** Device files to open; their groups are kept when the group may read and write. */
  readonly devices: readonly string[]
  /** Whether the kernel will lock the guest's memory. */
  readonly pinsMemory: boolean
  /** Ports of the host to listen on. */
  readonly hostPorts: readonly number[]
}

/** @returns absent when this process is not root */
export function lowering(id: string, needs: Needs): Lowering | undefined {
  if (process.getuid?.() !== 0) return undefined
  const uid = hasAllUids() ? ownUid(id) : NOBODY
  const groups = [...new Set(needs.devices.flatMap(deviceGroup))]
  const isLow = needs.hostPorts.some((port) => port < firstOrdinaryPort())
  const capabilities = isLow ? '-all,+net_bind_service' : '-all'
  return {
    uid,
    command: [
      // A core dump would hold the guest's memory.
      'prlimit',
      '--core=0',
      ...(needs.pinsMemory ? ['--memlock=unlimited'] : []),
      'setpriv',
      `--reuid=${uid}`,
      `--regid=${uid}`,
      groups.length === 0 ? '--clear-groups' : `--groups=${groups.join(',')}`,
      '--no-new-privs',
      `--inh-caps=${capabilities}`,
      `--ambient-caps=${capabilities}`,
      `--bounding-set=${capabilities}`,
      '--',
    ],
  }
}

/** ip(7): ports below this need the capability. */
function firstOrdinaryPort(): number {
  return Number(readFileSync('/proc/sys/net/ipv4/ip_unprivileged_port_start', 'utf8'))
}

function ownUid(id: string): number {
  return FIRST_UID + (createHash('sha256').update(id).digest().readUInt32BE(0) >>> 12)
}

/** In a user namespace with few uids only `nobody` is sure to exist. */
function hasAllUids(): boolean {
  return /^\s*0\s+0\s+4294967295\s*$/.test(readFileSync('/proc/self/uid_map', 'utf8'))
}

function deviceGroup(path: string): number[] {
  const found = statSync(path, { throwIfNoEntry: false })
  // Group 0 would be a privilege by itself.
  return found !== undefined && found.gid !== 0 && (found.mode & 0o060) === 0o060 ? [found.gid] : []
}

/** Whether this host has room for one more guest. */
import { readFile, statfs } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { CloisterError } from '@cloister/protocol/error'
import type { StartRequest } from '@cloister/protocol/hostd-api'

const MIB = 2 ** 20
/** What QEMU itself needs beside the guest's memory. */
const QEMU_MIB = 96
/** vCPUs for one processor beyond which an emulated guest's stages no longer come in time. */
const CPU_OVERCOMMIT = 4
/** Scratch is sparse: a guest gets more than is free, but not on a disk that is nearly full. */
const LEAST_FREE_MIB = 512

/** A guest that runs: its memory and the process that holds it. */
export interface LiveGuest {
  readonly memoryMiB: number
  readonly pid: number | undefined
}

/** What one guest may have, whatever others have. @throws CloisterError `host.cpus-insufficient` */
export function checkCpus(cpus: number): void {
  const most = Math.max(8, availableParallelism() * CPU_OVERCOMMIT)
  if (cpus > most)
    throw new CloisterError('host.cpus-insufficient', {
      expected: `at most ${most}`,
      received: `${cpus}`,
    })
}

/** @throws CloisterError `host.memory-insufficient`, `host.disk-full` */
export async function checkCapacity(
  request: Pick<StartRequest, 'memoryMiB' | 'scratchMiB'>,
  live: readonly LiveGuest[],
  home: string,
): Promise<void> {
  await checkMemory(request.memoryMiB + QEMU_MIB, live)
  const { bavail, bsize } = await statfs(home)
  const wanted = Math.min(request.scratchMiB, LEAST_FREE_MIB)
  if (bavail * bsize < wanted * MIB)
    throw new CloisterError('host.disk-full', {
      where: home,
      expected: `${wanted} MiB free`,
      received: `${Math.floor((bavail * bsize) / MIB)} MiB`,
    })
}

async function checkMemory(wantedMiB: number, live: readonly LiveGuest[]): Promise<void> {
  const available = await kibibytes('/proc/meminfo', 'MemAvailable')
  if (available === undefined) return
  let promisedMiB = 0
  for (const { memoryMiB, pid } of live) {
    const held = pid === undefined ? 0 : await kibibytes(`/proc/${pid}/status`, 'VmRSS')
    promisedMiB += Math.max(0, memoryMiB - (held ?? 0) / 1024)
  }
  const freeMiB = Math.floor(available / 1024 - promisedMiB)
  if (freeMiB < wantedMiB)
    throw new CloisterError('host.memory-insufficient', {
      expected: `${wantedMiB} MiB`,
      received: `${Math.max(0, freeMiB)} MiB not promised to other guests`,
    })
}

/** A `Name:  123 kB` line of a file in /proc; absent when the file or the line is. */
async function kibibytes(path: string, name: string): Promise<number | undefined> {
  const text = await readFile(path, 'utf8').catch(() => '')
  const value = new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(text)?.[1]
  return value === undefined ? undefined : Number(value)
}

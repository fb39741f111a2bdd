/**
 * A demonstration of what the host sees of a VM: the guest makes a canary from a seed that it keeps, the host looks at RAM and disk, then the seed is
 * told and searched for. It shows what this host's own tools could read at that moment. It is never evidence and no input to trust: a host that lies
 * can show less than it sees.
 */
import { rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { CloisterError } from '@cloister/protocol/error'
import type { MemoryDump, VmView } from '@cloister/protocol/hostd-vm-api'
import { canaryPieces, plantScript, removeScript, revealScript } from './canary.ts'
import { meaningOf } from './meaning.ts'
import { searchFile, type FoundPiece } from './search-file.ts'

export interface ProvenRange {
  /** Guest-physical address, hex. */
  readonly start: string
  readonly bytes: number
  /** Whether the host's tools could read it at all. */
  readonly isReadable: boolean
  /** Whether all that they read was zero. */
  readonly isBlank: boolean
  /** Pieces of the canary in it. */
  readonly found: number
}

export interface Proof {
  readonly memory: { readonly found: number; readonly ranges: readonly ProvenRange[] }
  readonly disk: { readonly found: number }
  readonly meaning: string
}

export interface ProveOptions {
  readonly view: VmView
  /** Runs a script by `sh` in the guest. @returns what it wrote */
  readonly runInGuest: (script: string) => Promise<string>
  readonly dumpMemory: () => Promise<MemoryDump>
  /** Folder of this machine's files at hostd. */
  readonly folder: string
  /** Where hostd may put dumps: nothing elsewhere is removed. */
  readonly dumps: string
  readonly onStep: (step: string) => void
  readonly signal: AbortSignal
}

const DISK_FILE = 'disk.qcow2'

/** @throws CloisterError `vm.prove-failed`, `vm.dump-unsupported`, `vm.not-running` */
export async function proveVm(options: ProveOptions): Promise<Proof> {
  const { view, runInGuest, onStep, signal } = options
  onStep('the guest makes its canaries')
  if ((await runInGuest(plantScript())).trim() !== 'planted')
    throw new CloisterError('vm.prove-failed', { where: 'plant' })
  try {
    onStep('the host reads the memory')
    const dump = await options.dumpMemory()
    try {
      onStep('the guest tells its seed')
      const seed = (await runInGuest(revealScript())).trim()
      if (!/^[0-9a-f]{64}$/.test(seed))
        throw new CloisterError('vm.prove-failed', { where: 'reveal' })
      onStep('the host searches memory and disk')
      const memory = await searchFile(dump.file, canaryPieces('memory', seed), signal)
      const onDisk = canaryPieces('disk', seed)
      const disk = await searchFile(join(options.folder, DISK_FILE), onDisk, signal)
      const ranges = rangesWith(dump.ranges, memory)
      const found = { memory: memory.length, disk: disk.length }
      return {
        memory: { found: found.memory, ranges },
        disk: { found: found.disk },
        meaning: meaningOf(view.tee, found, dump.ranges),
      }
    } finally {
      await removeDump(dump.file, options.dumps)
    }
  } catch (error) {
    await runInGuest(removeScript()).catch(() => undefined)
    throw error
  }
}

/** It holds what the guest's memory holds. Only what lies where dumps lie: hostd's word alone shall remove no other file. */
async function removeDump(file: string, dumps: string): Promise<void> {
  if (dirname(file) !== dumps) throw new CloisterError('vm.prove-failed', { where: file })
  await rm(file, { force: true })
}

/** The dump holds the ranges one behind the other. */
function rangesWith(ranges: MemoryDump['ranges'], found: readonly FoundPiece[]): ProvenRange[] {
  let begin = 0
  return ranges.map((range) => {
    const from = begin
    begin += range.bytes
    const inside = found.filter(({ offset }) => offset >= from && offset < begin)
    return { ...range, found: inside.length }
  })
}

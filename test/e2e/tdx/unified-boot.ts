/**
 * A real boot of a unified kernel as a TD does it, by `-kernel` alone, with a TPM in the place of the TD: the same firmware code, the same two stubs and the
 * same kernel measure into PCRs what they would measure into RTMRs. Its event log is read out of the guest's RAM.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdir, open, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { dumpMemory } from '@cloister/launcher/memory-dump'
import { findBootLog } from '@cloister/launcher/machine/boot-log'
import { openEkAuthority } from '@cloister/launcher/machine/ek-authority'
import { findFirmware } from '@cloister/launcher/machine/firmware'
import { writeVariables } from '@cloister/launcher/machine/secure-boot'
import { manufactureVtpm } from '@cloister/launcher/machine/vtpm'
import { startVtpm } from '@cloister/launcher/machine/vtpm-process'
import { killProcess } from '@cloister/launcher/process-identity'
import { QmpClient } from '@cloister/launcher/qmp'
import { digestOf, parseTcgLog } from '@cloister/verifier/eventlog/tcg-log'
import { toHex } from '@cloister/verifier/bytes/hex'
import { EVENT_TYPE } from '@cloister/verifier/eventlog/event-types'

/** Emulated, on a busy machine. */
const BOOT_MS = 300_000
const MEMORY = '512M'
/** Of PCRs, as a TD keeps them (UEFI 2.10, table 38.5). */
const PCRS_OF_RTMR = { rtmr0: [1, 7], rtmr1: [2, 3, 4, 5, 6], rtmr2: [8, 9, 10, 11, 12] } as const
export interface UnifiedBoot {
  readonly log: Uint8Array
  /** SHA-384 digests, hex, in the order of the log, of events that are extended. */
  digests(register: keyof typeof PCRS_OF_RTMR | readonly number[]): string[]
}

/** @param folder - absolute, empty, on a path that every user may pass */
export async function bootUnifiedKernel(kernel: string, folder: string): Promise<UnifiedBoot> {
  await chmod(folder, 0o755)
  const firmware = await findFirmware({ secureBoot: false })
  const variables = join(folder, 'variables.fd')
  await writeVariables(firmware, 'none', variables)
  const files = { stateDirectory: join(folder, 'tpm'), key: join(folder, 'tpm.key') }
  const authority = await openEkAuthority(join(folder, 'authority'))
  await manufactureVtpm({ ...files, vmId: 'unified', authority })
  const runtimeDirectory = join(folder, 'run')
  await mkdir(runtimeDirectory)
  const vtpm = await startVtpm({ id: 'unified', runtimeDirectory, files, qemu: undefined })
  try {
    const ram = join(folder, 'ram')
    await runUntilOff({ kernel, code: firmware.code, variables, runtimeDirectory, folder, ram })
    const log = await findBootLog(ram)
    if (log === undefined) throw new Error('no event log in RAM')
    return { log, digests: (wanted) => digestsOf(log, wanted) }
  } finally {
    await killProcess(vtpm.identity)
  }
}

interface Run {
  readonly kernel: string
  readonly code: string
  readonly variables: string
  readonly runtimeDirectory: string
  readonly folder: string
  readonly ram: string
}

/** Until the guest, which finds none of its disks, powers off; QEMU then keeps its RAM. */
async function runUntilOff(run: Run): Promise<void> {
  const { kernel, code, variables, runtimeDirectory, folder, ram } = run
  const source = join(folder, 'piece')
  await writeFile(source, '')
  await using piece = await open(source, 'r+')
  const words = [
    ['-nodefaults', '-no-user-config', '-display', 'none', '-S'],
    ['-machine', 'q35,smm=off', '-accel', 'tcg,thread=multi', '-cpu', 'EPYC-Rome'],
    ['-m', MEMORY, '-action', 'shutdown=pause'],
    ['-drive', `if=pflash,unit=0,format=raw,readonly=on,file=${code}`],
    ['-drive', `if=pflash,unit=1,format=raw,file=${variables}`],
    ['-chardev', 'socket,id=vtpm,path=vtpm.sock', '-tpmdev', 'emulator,id=tpm0,chardev=vtpm'],
    ['-device', 'tpm-crb,tpmdev=tpm0', '-qmp', 'unix:qmp.sock,server=on,wait=off'],
    ['-serial', `file:${join(folder, 'serial')}`, '-kernel', kernel],
  ].flat()
  const qemu = spawn('qemu-system-x86_64', words, {
    cwd: runtimeDirectory,
    stdio: ['ignore', 'ignore', 'pipe', piece.fd],
  })
  const ended = once(qemu, 'exit')
  let said = ''
  qemu.stderr?.on('data', (chunk: Buffer) => (said += chunk.toString()))
  try {
    const qmp = await connected(join(runtimeDirectory, 'qmp.sock'), () => qemu.exitCode !== null)
    const off = new Promise<void>((resolve) => {
      qmp.on('event', ({ name }) => void (name === 'SHUTDOWN' && resolve()))
    })
    await qmp.execute('cont')
    const timer = new AbortController()
    const late = sleep(BOOT_MS, 'late', { signal: timer.signal }).catch(() => 'off')
    if ((await Promise.race([off, ended, late])) === 'late') throw new Error('it does not end')
    timer.abort()
    await dumpMemory(qmp, source, ram)
    qmp.close()
  } catch (cause) {
    const serial = await readFile(join(folder, 'serial'), 'latin1').catch(() => '')
    throw new Error(`QEMU: ${said.slice(-1000)}${serial.slice(-1000)}`, { cause })
  } finally {
    qemu.kill('SIGKILL')
    await ended
  }
}

async function connected(path: string, hasEnded: () => boolean): Promise<QmpClient> {
  for (;;) {
    try {
      return await QmpClient.connect(path)
    } catch (error) {
      if (hasEnded()) throw error
      await sleep(20)
    }
  }
}

function digestsOf(log: Uint8Array, wanted: Parameters<UnifiedBoot['digests']>[0]): string[] {
  const isRtmr = typeof wanted === 'string'
  const registers: readonly number[] = isRtmr ? PCRS_OF_RTMR[wanted] : wanted
  let hasSeparator = false
  return parseTcgLog(log).events.flatMap((event) => {
    if (!registers.includes(event.index) || event.type === EVENT_TYPE.noAction) return []
    if (event.type === EVENT_TYPE.separator) {
      // One for each PCR, and one for an RTMR that takes the place of several (EDK2, TdTcg2Dxe).
      if (isRtmr && hasSeparator) return []
      hasSeparator = true
    }
    const digest = digestOf(event, 'sha384')
    if (digest === undefined) throw new Error('the log has no bank of SHA-384')
    return [toHex(digest)]
  })
}

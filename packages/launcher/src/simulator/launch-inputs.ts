/**
 * What a launch would measure, taken from the QEMU that really runs: its own command line and the files it has open, never a
 * manifest or a request.
 */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { pipeline } from 'node:stream/promises'
import { CloisterError } from '@cloister/protocol/error'

export interface LaunchInputs {
  /** SHA-256 of the `-kernel` file. */
  readonly kernelSha256: Uint8Array
  /** SHA-256 of the `-initrd` file; of nothing when there is none. */
  readonly initrdSha256: Uint8Array
  /** The `-append` text; empty when there is none. */
  readonly commandLine: string
  readonly cpus: number
}

/** A command line of ours has a few KiB; the kernel gives more. */
const MAX_COMMAND_BYTES = 256 << 10

/** @throws CloisterError `simulator.launch-unmeasurable` */
export async function readLaunchInputs(pid: number): Promise<LaunchInputs> {
  try {
    const bytes = await readFile(`/proc/${pid}/cmdline`)
    const named = parseCommand(bytes)
    const [kernelSha256, initrdSha256] = await Promise.all([
      hashFile(pid, named.kernel),
      named.initrd === undefined ? createHash('sha256').digest() : hashFile(pid, named.initrd),
    ])
    return { kernelSha256, initrdSha256, commandLine: named.commandLine, cpus: named.cpus }
  } catch (error) {
    if (error instanceof CloisterError) throw error
    throw new CloisterError('simulator.launch-unmeasurable', { cause: error })
  }
}

export interface NamedInputs {
  readonly kernel: string
  readonly initrd: string | undefined
  readonly commandLine: string
  readonly cpus: number
}

/**
 * @param bytes - `/proc/<pid>/cmdline`: arguments, each ended by NUL
 * @throws CloisterError `simulator.launch-unmeasurable` when an input is missing, stands twice or is not plain
 */
export function parseCommand(bytes: Uint8Array): NamedInputs {
  if (bytes.length > MAX_COMMAND_BYTES) throw unmeasurable('the command line is too long')
  const words = Buffer.from(bytes).toString('utf8').split('\0')
  const kernel = valueOf(words, '-kernel')
  if (kernel === undefined) throw unmeasurable('no -kernel')
  const cpus = valueOf(words, '-smp') ?? ''
  if (!/^[1-9][0-9]{0,2}$/.test(cpus)) throw unmeasurable('no plain -smp')
  return {
    kernel,
    initrd: valueOf(words, '-initrd'),
    commandLine: valueOf(words, '-append') ?? '',
    cpus: Number(cpus),
  }
}

/** QEMU takes the last of two, and a value may look like an option: whatever is not plain is refused. */
function valueOf(words: readonly string[], option: string): string | undefined {
  const index = words.indexOf(option)
  if (index === -1) return undefined
  if (words.includes(option, index + 1)) throw unmeasurable(`${option} stands twice`)
  return words[index + 1]
}

/** `/proc/self` is QEMU's own view: seen from here it is `/proc/<pid>`. */
async function hashFile(pid: number, path: string): Promise<Uint8Array> {
  const own = path.replace(/^\/proc\/self\//, `/proc/${pid}/`)
  const hash = createHash('sha256')
  await pipeline(createReadStream(own, { highWaterMark: 1 << 20 }), hash)
  return hash.digest()
}

function unmeasurable(received: string): CloisterError {
  return new CloisterError('simulator.launch-unmeasurable', { received })
}

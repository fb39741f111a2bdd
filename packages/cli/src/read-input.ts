/** Reads what a command takes from a file, or from standard input when the name is `-`. */
import { open } from 'node:fs/promises'
import { CloisterError } from '@cloister/protocol/error'

/** Bytes of the largest Evidence: a log and many devices. */
export const EVIDENCE_BYTES = 16 << 20

/** What comes from a pipe or is typed. Ctrl-C ends the wait for somebody who gives nothing. @throws CloisterError `cli.interrupted` */
async function* standardInput(): AsyncGenerator<Buffer> {
  const { stdin, stderr } = process
  if (stdin.isTTY && stderr.isTTY) stderr.write('reads what you type; Ctrl-D ends it\n')
  const interrupt = () => stdin.destroy(new CloisterError('cli.interrupted'))
  process.once('SIGINT', interrupt).once('SIGTERM', interrupt)
  try {
    for await (const chunk of stdin) yield chunk as Buffer
  } finally {
    process.off('SIGINT', interrupt).off('SIGTERM', interrupt)
  }
}

/** @throws CloisterError `cli.file-unreadable`, also when it is longer than `most` bytes */
export async function readInput(file: string, most: number): Promise<Buffer> {
  try {
    const handle = file === '-' ? undefined : await open(file)
    await using _ = { [Symbol.asyncDispose]: async () => await handle?.close() }
    const chunks: Buffer[] = []
    let size = 0
    for await (const chunk of handle?.createReadStream({ autoClose: false }) ?? standardInput()) {
      size += (chunk as Buffer).length
      if (size > most)
        throw new CloisterError('cli.file-unreadable', {
          where: file,
          why: `it is longer than ${most} bytes`,
        })
      chunks.push(chunk as Buffer)
    }
    return Buffer.concat(chunks)
  } catch (cause) {
    if (cause instanceof CloisterError) throw cause
    throw new CloisterError('cli.file-unreadable', {
      where: file,
      ...(cause instanceof Error && { why: cause.message.replace(/, open '.*$/s, '') }),
      cause,
    })
  }
}

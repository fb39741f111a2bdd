/**
 * The way to the TPM: one command in, one response out. `/dev/tpmrm0` is the kernel's resource manager: what this process loads
 * is its own, and is flushed when the file is closed.
 */
import { open, type FileHandle } from 'node:fs/promises'
import { CloisterError } from '@cloister/protocol/error'
import { MAX_TPM_MESSAGE } from './command.ts'

export const TPM_DEVICE = '/dev/tpmrm0'

export interface TpmDevice extends AsyncDisposable {
  /** @throws CloisterError `agent.tpm-failed` */
  transmit(command: Uint8Array): Promise<Uint8Array>
}

/** @throws CloisterError `agent.tpm-absent` */
export async function openTpmDevice(path: string = TPM_DEVICE): Promise<TpmDevice> {
  let file: FileHandle
  try {
    file = await open(path, 'r+')
  } catch (cause) {
    throw new CloisterError('agent.tpm-absent', { where: path, cause })
  }
  return {
    async transmit(command) {
      try {
        // The driver takes a command in one write and works on it there; the response waits for one read.
        const { bytesWritten } = await file.write(command, 0, command.length, null)
        if (bytesWritten !== command.length)
          throw new Error('the driver took a part of the command')
        const response = new Uint8Array(MAX_TPM_MESSAGE)
        const { bytesRead } = await file.read(response, 0, response.length, null)
        return response.subarray(0, bytesRead)
      } catch (cause) {
        throw new CloisterError('agent.tpm-failed', { where: path, cause })
      }
    },
    [Symbol.asyncDispose]: () => file.close(),
  }
}

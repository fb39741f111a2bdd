/**
 * A device that the kernel can tell to be readable, such as a virtio-serial port or its own log. By Node's documented calls each read of one would
 * block a thread of the pool, and four of those hang every file operation. Node's sockets wait as one should, and their handle takes any descriptor;
 * its class is to be had by `process.binding` alone (deprecated in words, DEP0111).
 */
import { closeSync, constants, openSync, readvSync, writeSync } from 'node:fs'
import { Socket, type SocketConstructorOpts } from 'node:net'

interface PipeHandle {
  /** @returns 0, or libuv's error */
  open(descriptor: number): number
}
interface PipeBinding {
  readonly Pipe: new (type: number) => PipeHandle
  readonly constants: { readonly SOCKET: number }
}

/** Takes a copy of what was read; false: no more until the socket is resumed. */
export type TakeBytes = (bytes: Buffer) => boolean

export interface PolledDevice {
  /** Emits no data, for they are taken. Ends when the device does, which for a port is when nobody at the host has it open. */
  readonly socket: Socket
  /** Writes what the device takes at once. @returns so many bytes, 0 when it takes none now @throws what `write` throws else */
  write(bytes: Uint8Array): number
}

/** The kernel gives out a port's bytes by pages, one for each buffer of a call. */
const PAGE_BYTES = 4096
const PAGES = 64
/** A full page means that more is on its way: it is waited for, and then read at once. */
const MORE_MS = 1

export function readBuffer(): Buffer {
  return Buffer.allocUnsafeSlow(PAGES * PAGE_BYTES)
}

/**
 * libuv aborts the process for what cannot be waited for, such as a regular file.
 *
 * @param buffer - of {@link readBuffer}; a device that is opened again can have that of before
 * @throws what `open` throws
 */
export function openPolled(
  path: string,
  access: 'read' | 'both',
  take: TakeBytes,
  buffer = readBuffer(),
): PolledDevice {
  const isWritable = access === 'both'
  const direction = isWritable ? constants.O_RDWR : constants.O_RDONLY
  const descriptor = openSync(path, direction | constants.O_NONBLOCK)

  const furtherPages = Array.from({ length: PAGES - 1 }, (_, index) =>
    buffer.subarray((index + 1) * PAGE_BYTES, (index + 2) * PAGE_BYTES),
  )

  const callback = (first: number): boolean => {
    const bytes = first === PAGE_BYTES ? first + readNow(descriptor, furtherPages) : first
    const wantsMore = take(Buffer.from(buffer.subarray(0, bytes)))
    if (bytes < PAGE_BYTES || !wantsMore) return wantsMore
    setTimeout(() => socket.resume(), MORE_MS)
    return false
  }
  const socket = new Socket({
    handle: pipeHandle(descriptor),
    readable: true,
    writable: false,
    onread: { buffer, callback },
  } as unknown as SocketConstructorOpts)
  socket.resume()
  // Once the socket is closed the descriptor's number may be another file's.
  return { socket, write: (bytes) => (socket.destroyed ? 0 : writeNow(descriptor, bytes)) }
}

function readNow(descriptor: number, pages: readonly Buffer[]): number {
  try {
    return readvSync(descriptor, pages)
  } catch {
    // It has no more for now (EAGAIN); whatever else it is, the socket's own read meets it next.
    return 0
  }
}

function writeNow(descriptor: number, bytes: Uint8Array): number {
  try {
    return writeSync(descriptor, bytes)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return 0
    throw error
  }
}

function pipeHandle(descriptor: number): PipeHandle {
  const node = process as unknown as { binding(name: 'pipe_wrap'): PipeBinding }
  try {
    const { Pipe, constants: types } = node.binding('pipe_wrap')
    const handle = new Pipe(types.SOCKET)
    const failure = handle.open(descriptor)
    if (failure !== 0) throw new Error(`libuv takes no such descriptor: ${failure}`)
    return handle
  } catch (error) {
    closeSync(descriptor)
    throw error
  }
}

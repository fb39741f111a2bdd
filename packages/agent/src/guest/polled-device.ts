/**
 * A device that the kernel can tell to be readable, such as a virtio-serial port or its own log, as a stream. By Node's documented calls each read
 * of one would block a thread of the pool, and four of those hang every file operation. Node's sockets wait as one should, and their handle takes any
 * descriptor; only its constructor is asked for by an older name.
 */
import { constants, openSync, readSync } from 'node:fs'
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

/** The kernel gives out a port's bytes by pages. */
const PAGE_BYTES = 4096
const MOST_PAGES = 64
/** A full page means that more is on its way: it is waited for, and then read at once. */
const MORE_MS = 1

/**
 * Emits no data: they are taken. Ends when the device does, which for a port is when nobody at the host has it open. libuv aborts the process for what
 * cannot be waited for, such as a regular file.
 *
 * @throws what `open` throws
 */
export function openPolled(path: string, access: 'read' | 'both', take: TakeBytes): Socket {
  const isWritable = access === 'both'
  const direction = isWritable ? constants.O_RDWR : constants.O_RDONLY
  const descriptor = openSync(path, direction | constants.O_NONBLOCK)
  const buffer = Buffer.allocUnsafeSlow(MOST_PAGES * PAGE_BYTES)

  const callback = (first: number): boolean => {
    const bytes = first === PAGE_BYTES ? readPages(descriptor, buffer, first) : first
    const wantsMore = take(Buffer.from(buffer.subarray(0, bytes)))
    if (bytes < PAGE_BYTES || !wantsMore) return wantsMore
    setTimeout(() => socket.resume(), MORE_MS)
    return false
  }
  const socket = new Socket({
    handle: pipeHandle(descriptor),
    readable: true,
    writable: isWritable,
    onread: { buffer: buffer.subarray(0, PAGE_BYTES), callback },
  } as unknown as SocketConstructorOpts)
  return socket.resume()
}

/** Reads on until the device has no more or the buffer is full. */
function readPages(descriptor: number, buffer: Buffer, before: number): number {
  let bytes = before
  try {
    for (let read = PAGE_BYTES; read === PAGE_BYTES && bytes < buffer.length; bytes += read)
      read = readSync(descriptor, buffer, bytes, PAGE_BYTES, null)
  } catch {
    // It has no more for now (EAGAIN); whatever else it is, the socket's own read meets it next.
  }
  return bytes
}

function pipeHandle(descriptor: number): PipeHandle {
  const node = process as unknown as { binding(name: 'pipe_wrap'): PipeBinding }
  const { Pipe, constants: types } = node.binding('pipe_wrap')
  const handle = new Pipe(types.SOCKET)
  const failure = handle.open(descriptor)
  if (failure !== 0) throw new Error(`libuv takes no such descriptor: ${failure}`)
  return handle
}

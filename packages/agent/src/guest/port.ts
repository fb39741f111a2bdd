/**
 * A virtio-serial port as a stream. Node cannot wait for such a port without blocking a thread of its pool for each, and four of
 * those hang every file operation; so two small processes carry the bytes between the port and ordinary pipes.
 */
import { spawn } from 'node:child_process'
import { closeSync, constants, openSync } from 'node:fs'
import { Duplex } from 'node:stream'

/** In a VM the owner's system ends all processes before it powers off, but not those of root whose name begins with `@`. */
const RELAY = { argv0: '@/busybox' } as const

/**
 * What carries the bytes: `busybox` is in our own images and must be asked by name, `coreutils` are in every other. Without a reader at the host a read
 * ends at once: then it is tried again after a pause, which nobody waits for in a VM that runs for long.
 */
const TOOLS = {
  busybox: {
    read: ['busybox', 'sh', '-c', 'while :; do busybox cat; busybox sleep 0.2; done'],
    write: ['busybox', 'cat'],
  },
  coreutils: { read: ['sh', '-c', 'while :; do cat; sleep 1; done'], write: ['cat'] },
} as const

/** The stream fails when a relay ends, which happens only when the port is gone. */
export function openPort(device: string, tools: keyof typeof TOOLS = 'busybox'): Duplex {
  const port = openSync(device, constants.O_RDWR)
  const [read, ...readArguments] = TOOLS[tools].read
  const [write, ...writeArguments] = TOOLS[tools].write
  const naming = tools === 'busybox' ? RELAY : {}
  const reader = spawn(read, readArguments, { ...naming, stdio: [port, 'pipe', 'ignore'] })
  const writer = spawn(write, writeArguments, { ...naming, stdio: ['pipe', port, 'ignore'] })
  closeSync(port)
  const stream = Duplex.from({ readable: reader.stdout, writable: writer.stdin })
  for (const relay of [reader, writer]) {
    relay.once('error', (error) => stream.destroy(error))
    relay.once('exit', () => stream.destroy(new Error(`the relay of ${device} ended`)))
  }
  return stream
}

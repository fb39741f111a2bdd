/**
 * A virtio-serial port as a stream. Node cannot wait for such a port without blocking a thread of its pool for each, and four of
 * those hang every file operation; so two small processes carry the bytes between the port and ordinary pipes.
 */
import { spawn } from 'node:child_process'
import { closeSync, constants, openSync } from 'node:fs'
import { Duplex } from 'node:stream'

/** In a VM the owner's system ends all processes before it powers off, but not those of root whose name begins with `@`. */
const RELAY = { argv0: '@/busybox' } as const

/** Without a reader at the host a read ends at once: then it is tried again, five times a second. */
const READ_LOOP = 'while :; do busybox cat; busybox sleep 0.2; done'

/** The stream fails when a relay ends, which happens only when the port is gone. */
export function openPort(device: string): Duplex {
  const port = openSync(device, constants.O_RDWR)
  const reader = spawn('busybox', ['sh', '-c', READ_LOOP], {
    ...RELAY,
    stdio: [port, 'pipe', 'ignore'],
  })
  const writer = spawn('busybox', ['cat'], { ...RELAY, stdio: ['pipe', port, 'ignore'] })
  closeSync(port)
  const stream = Duplex.from({ readable: reader.stdout, writable: writer.stdin })
  for (const relay of [reader, writer]) {
    relay.once('error', (error) => stream.destroy(error))
    relay.once('exit', () => stream.destroy(new Error(`the relay of ${device} ended`)))
  }
  return stream
}

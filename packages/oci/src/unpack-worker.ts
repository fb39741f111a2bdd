/**
 * The thread of `unpack-thread`: one message a layer, its bytes through the ring, one answer.
 *
 * INVARIANT: it imports nothing of Node but files and threads. The guest's agent begins in a snapshot, and what a snapshot was made with cannot be
 * loaded again in a thread of its process: `node:crypto`, and `node:net` with all that stands on it (`node:child_process`), abort the process there (Node 24:
 * "Assertion failed: … .IsEmpty()").
 */
import { parentPort, workerData } from 'node:worker_threads'
import { CloisterError } from '@cloister/protocol/error'
import { RingReader } from './byte-ring.ts'
import { LayerUnpacker, type LayerTarget } from './layer-unpacker.ts'
import { unpackError } from './rootfs-writer.ts'
import type { UnpackAnswer, UnpackWorkerData } from './unpack-thread.ts'

const ring = new RingReader((workerData as UnpackWorkerData).ring)

function unpack(target: LayerTarget): UnpackAnswer {
  try {
    using layer = new LayerUnpacker(target)
    for (const chunk of ring.chunks()) layer.write(chunk)
    // By the other side, which has its own reason and does not wait for this answer.
    if (ring.isStopped) throw new CloisterError('internal.bug', { why: 'unpacking was stopped' })
    const xattrs = layer.end()
    const { entries, skippedXattrs } = target.usage
    return { usage: { entries, skippedXattrs }, xattrs }
  } catch (error) {
    ring.stop()
    return { error: CloisterError.from(unpackError(error)).toJSON() }
  }
}

parentPort?.on('message', (target: LayerTarget) => {
  const answer = unpack(target)
  parentPort?.postMessage(answer, 'xattrs' in answer ? [answer.xattrs.buffer as ArrayBuffer] : [])
})

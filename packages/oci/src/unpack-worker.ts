/** The thread of `unpack-thread`: one message a layer, its bytes through the ring, one answer. */
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
    layer.end()
    const { entries, skippedXattrs } = target.usage
    return { usage: { entries, skippedXattrs } }
  } catch (error) {
    ring.stop()
    return { error: CloisterError.from(unpackError(error)).toJSON() }
  }
}

parentPort?.on('message', (target: LayerTarget) => parentPort?.postMessage(unpack(target)))

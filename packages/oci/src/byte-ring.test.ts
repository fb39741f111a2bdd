import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { Worker } from 'node:worker_threads'
import { ringMemory, RingReader, RingWriter } from './byte-ring.ts'

const MODULE = new URL('./byte-ring.ts', import.meta.url)

/** A thread that reads runs of bytes and answers with the hash of each. */
function reader(ring: ReturnType<typeof ringMemory>): Worker {
  const program = `
    const { parentPort, workerData } = require('node:worker_threads')
    const { createHash } = require('node:crypto')
    void import(${JSON.stringify(MODULE.href)}).then(({ RingReader }) => {
      const ring = new RingReader(workerData)
      const run = () => {
        const hash = createHash('sha256')
        for (const chunk of ring.chunks()) hash.update(chunk)
        parentPort.postMessage(hash.digest('hex'))
      }
      parentPort.on('message', run)
      parentPort.postMessage('ready')
    })`
  return new Worker(program, { eval: true, workerData: ring })
}

test('bytes come out as they went in, few or several times the size of the ring, run after run', async () => {
  const { createHash } = await import('node:crypto')
  const memory = ringMemory()
  const ring = new RingWriter(memory)
  const worker = reader(memory)
  const answers: string[] = []
  const next = () =>
    new Promise<string>((resolve) => {
      worker.once('message', resolve)
    })
  await next()
  for (const size of [30_000_000, 3, 13_333_333]) {
    const bytes = randomBytes(size)
    ring.open()
    const answer = next()
    worker.postMessage('')
    for (let offset = 0; offset < size; offset += 777_777)
      await ring.write(bytes.subarray(offset, offset + 777_777))
    ring.end()
    answers.push(await answer)
    assert.equal(answers.at(-1), createHash('sha256').update(bytes).digest('hex'))
  }
  await worker.terminate()
})

test('a writer that waits for room learns that its reader gave up', async () => {
  const memory = ringMemory()
  const [writer, ring] = [new RingWriter(memory), new RingReader(memory)]
  const written = writer.write(new Uint8Array(20 << 20))
  ring.stop()
  await written
  assert.equal(writer.isStopped, true)
  assert.deepEqual([...ring.chunks()], [])
})

import assert from 'node:assert/strict'
import { PassThrough } from 'node:stream'
import { test } from 'node:test'
import { LogBuffer } from './log-buffer.ts'

const never = new AbortController().signal
const text = (bytes: Uint8Array) => Buffer.from(bytes).toString()

test('a read gives at most what was asked for, and waits for something', async () => {
  const output = new PassThrough()
  const log = new LogBuffer(output)
  const reading = log.read(3, never)
  output.write('hello')
  assert.equal(text(await reading), 'hel')
  assert.equal(text(await log.read(100, never)), 'lo')
})

test('at the end a read is empty', async () => {
  const output = new PassThrough()
  const log = new LogBuffer(output)
  const reading = log.read(3, never)
  output.destroy()
  assert.equal((await reading).length, 0)
  assert.equal((await log.read(3, never)).length, 0)
})

test('what nobody reads gives way to what is newer, and the process is never held up', async () => {
  const output = new PassThrough()
  const log = new LogBuffer(output, 10)
  for (const piece of ['aaaa', 'bbbb', 'cccc']) output.write(piece)
  output.write('x'.repeat(5) + '0123456789')
  await new Promise(setImmediate)
  assert.equal(text(await log.read(100, never)), '0123456789')
})

test('a read ends with its signal', async () => {
  const controller = new AbortController()
  const reading = new LogBuffer(new PassThrough()).read(1, controller.signal)
  controller.abort(new Error('stop'))
  await assert.rejects(reading, /stop/)
})

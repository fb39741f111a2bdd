import assert from 'node:assert/strict'
import { Socket } from 'node:net'
import { test } from 'node:test'
import { isCode } from '@cloister/protocol/testing'
import type { TakeBytes } from '../guest/polled-device.ts'
import { watchScratch } from './watch.ts'

/** A log that holds these pieces, then nothing more. */
function log(...pieces: string[]) {
  const socket = new Socket()
  const open = (take: TakeBytes) => {
    setImmediate(() => {
      for (const piece of pieces) assert.equal(take(Buffer.from(piece)), true)
    })
    return socket
  }
  return { socket, open }
}

const BEFORE = '<6>[    1.000000] EXT4-fs (dm-2): mounted filesystem\n'
const TAMPERED = '<3>[    9.000000] device-mapper: crypt: dm-2: INTEGRITY AEAD ERROR, sector 8\n'

test('a block that fails its authentication ends the watch, however its line comes', async () => {
  await assert.rejects(watchScratch(log(BEFORE + TAMPERED).open), isCode('agent.scratch-corrupt'))
  for (let cut = 1; cut < TAMPERED.length; cut++) {
    const pieces = [BEFORE + TAMPERED.slice(0, cut), TAMPERED.slice(cut)]
    await assert.rejects(watchScratch(log(...pieces).open), isCode('agent.scratch-corrupt'))
  }
  await assert.rejects(
    watchScratch(log(...TAMPERED.split('')).open),
    isCode('agent.scratch-corrupt'),
  )
})

test('what else the kernel says ends nothing; a log that is no longer read does, for tampering would go unseen', async () => {
  const { socket, open } = log(BEFORE, 'INTEGRITY', ' nothing AEAD', ' ERROR\n')
  const watch = watchScratch(open)
  const told = await Promise.race([
    watch,
    new Promise((resolve) => setTimeout(resolve, 50, 'nothing')),
  ])
  assert.equal(told, 'nothing')
  socket.destroy()
  await assert.rejects(watch, isCode('agent.scratch-failed'))

  const broken = log()
  setImmediate(() => broken.socket.destroy(new Error('EIO')))
  await assert.rejects(watchScratch(broken.open), isCode('agent.scratch-failed'))
  const absent = () => {
    throw new Error('ENOENT')
  }
  await assert.rejects(watchScratch(absent), isCode('agent.scratch-failed'))
})

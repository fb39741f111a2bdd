import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { LiveLine } from './live-line.ts'

function screen(columns: number) {
  const written: string[] = []
  return { columns, written, write: (text: string) => written.push(text) }
}

describe('LiveLine', () => {
  test('gives way to lines above it and is gone in the end', () => {
    const tty = screen(80)
    let now = 0
    const line = new LiveLine(tty, () => now)
    line.show('  ...   work')
    now = 1500
    line.above(() => tty.write('told\n'))
    line.show(undefined)
    assert.deepEqual(tty.written, [
      '\r\u001B[K  ...   work  0.0 s',
      '\r\u001B[K',
      'told\n',
      '\r\u001B[K  ...   work  1.5 s',
      '\r\u001B[K',
    ])
  })

  test('never takes more than one row', () => {
    const tty = screen(20)
    const line = new LiveLine(tty, () => 0)
    line.show('a text that is longer than the screen')
    line.show(undefined)
    assert.equal(tty.written[0], '\r\u001B[Ka text that is long')
  })

  test('writes nothing of its own when nothing is shown', () => {
    const tty = screen(80)
    const line = new LiveLine(tty)
    line.above(() => tty.write('x'))
    line.show(undefined)
    assert.deepEqual(tty.written, ['x'])
  })
})

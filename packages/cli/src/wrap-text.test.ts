import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { forTerminal, wrapText } from './wrap-text.ts'

describe('wrapText()', () => {
  test('breaks between words and hangs what follows below the last column', () => {
    assert.equal(
      wrapText('  why       the words of this line are more than forty columns wide', 44),
      '  why       the words of this line are more\n            than forty columns wide',
    )
  })

  test('hangs two blanks deeper where a line has one column', () => {
    assert.equal(
      wrapText('a sentence that goes on and on until it does not fit any more', 40),
      'a sentence that goes on and on until it\n  does not fit any more',
    )
  })

  test('never cuts a word, and counts no colours', () => {
    const digest = 'f'.repeat(96)
    assert.equal(wrapText(`  digest  ${digest}`, 60), `  digest  ${digest}`)
    const painted = `\u001B[31m${'word '.repeat(7).trim()}\u001B[0m`
    assert.equal(wrapText(painted, 40), painted)
  })

  test('changes nothing without a terminal, in a very narrow one, and of what fits', () => {
    const text = 'word '.repeat(40).trim()
    assert.equal(wrapText(text, undefined), text)
    assert.equal(wrapText(text, 39), text)
    assert.equal(wrapText('short\n\n  lines', 40), 'short\n\n  lines')
  })
})

describe('forTerminal()', () => {
  const terminal = { isTTY: true, columns: 80 }

  test('writes our punctuation in ASCII where the locale is another than UTF-8', () => {
    assert.equal(forTerminal('a → b…', terminal, { LC_ALL: 'C' }), 'a -> b...')
    assert.equal(forTerminal('a → b…', terminal, { LANG: 'de_DE.ISO-8859-1' }), 'a -> b...')
    assert.equal(forTerminal('a → b…', terminal, { LANG: 'C', LC_ALL: 'C.UTF-8' }), 'a → b…')
    assert.equal(forTerminal('a → b…', terminal, {}), 'a → b…')
  })

  test('changes nothing that goes to a file or pipe', () => {
    const text = `${'word '.repeat(40)}→`
    assert.equal(forTerminal(text, { isTTY: false, columns: 80 }, { LC_ALL: 'C' }), text)
  })
})

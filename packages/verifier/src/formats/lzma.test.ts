import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FormatError } from '../bytes/format-error.ts'
import { decodeLzma } from './lzma.ts'

/** Made with liblzma: text and runs with lc=3 lp=0 pb=2, noise with lc=0 lp=2 pb=0. */
const TEXT = Buffer.from(
  'XQAAAQC1AwAAAAAAAAAxmwpCqTMZZjOLddZ8rpXQLT8JIS4x7WpyOY+7EEK6FIs0ikIqANBcERnOFCHYbh3cznHR' +
    'eXWZuEWg+KxtHdTW3H/aVdENNsP6buSEllFQHbOMNKzS2R0L2yc9fQuDjV7v///eZuAA',
  'base64',
)
const NOISE = Buffer.from(
  'EgAAAQAgAwAAAAAAAABSk/Gl6AhYrzC1t/khnaTcwXNmv8LwCMkvu+2PsRCGe2IYnzqaB57jsKZE/NBxiB/a+Iuo' +
    'Y0du8NawJe2baJgFy9DWL/MuDCxZaZWKsCRSwuoaYFXLwyYz/pxZyjb4zAxp2LVOfUuooYQ9hvag8FEx23dOfmyz' +
    '0muJzu4naspKDRH72zd/bmvTkB/vRzz6cOiqrDKSWybEiqph0GsAlVWku+1zQ/sOOSO4k8uDOEDBIJ8OQisUyoyB' +
    '3Mgykh6et96+6mhOdLLZJHYoCS9Z8Gz6pOeQvF/VwQ4YBGLiabqe5EVKn1x04oimsHq2WV9rzfY0gFQsWofGLY5I' +
    'J8kVOEVGEm5JxxGitcj0bv4WawWGxRl/yYFUfGh+OdCtl/lEgEE/a0t6OiBpSKLUvKpYlhJKOBaIEy0V/6ie90Oq' +
    'ViiKxjCADyj9QLaBw0xV78NmPzSWOY0MLQsOxRGJ7+pq6B/5VA/Ob6hLE9wXPs74V4S5Ki447YZaUMP7VICjTsRP' +
    'aJyy5WSvXP8iTr0DuiPxAQYB2VFC+9U2U4DzEQKxGWcth2c3gZHz7/SZxZhGO0Tr+4YPnvHJO9gBFmi9m/aTnnu8' +
    'cvy8FNeMLhDmITJRkVYH/8vdQFQ=',
  'base64',
)
const MOST = 1 << 20
const REPEATED = 40
const ZEROS = 500

test('decodeLzma() unpacks literals, matches and long runs', () => {
  const expected = Buffer.concat([
    Buffer.from('cloister '.repeat(REPEATED)),
    Buffer.from(Array.from({ length: 64 }, (_, index) => index)),
    Buffer.alloc(ZEROS),
    Buffer.from('cloister, again and again'),
  ])
  assert.deepEqual(Buffer.from(decodeLzma(TEXT, MOST)), expected)
})

test('decodeLzma() unpacks other properties', async () => {
  const digest = await crypto.subtle.digest('SHA-256', decodeLzma(NOISE, MOST).slice())
  assert.equal(
    Buffer.from(digest).toString('hex'),
    '25961ea62ad7c0b2935e5a2f0095a1ffa5d8c3b07c18436edc6673366524dd3b',
  )
})

test('decodeLzma() throws nothing but FormatError, whatever the bytes', () => {
  assert.throws(() => decodeLzma(TEXT, 948), FormatError)
  for (let length = 0; length < TEXT.length - 6; length++)
    assert.throws(() => decodeLzma(TEXT.subarray(0, length), MOST), FormatError)
  for (let at = 0; at < NOISE.length; at++) {
    const bytes = Buffer.from(NOISE)
    bytes[at] = (bytes[at] ?? 0) ^ 0x55
    try {
      decodeLzma(bytes, MOST)
    } catch (error) {
      assert.ok(error instanceof FormatError, String(error))
    }
  }
})

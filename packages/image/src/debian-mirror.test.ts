import assert from 'node:assert/strict'
import { test } from 'node:test'

import { mirrorsFromListing } from './debian-mirror.ts'

test('mirrorsFromListing() takes the first address of each archive of Debian', () => {
  const listing = [
    'Elsewhere|Debian|http://mirror.example/elsewhere/',
    'Debian|Debian|http://mirror.example/debian/',
    'Debian|Debian|http://other.example/debian/',
    'Debian|Debian-Security|http://mirror.example/security/',
    '',
  ].join('\n')
  assert.deepEqual(mirrorsFromListing(listing), {
    archive: 'http://mirror.example/debian/',
    security: 'http://mirror.example/security/',
  })
})

test('mirrorsFromListing() leaves the security archive out when the machine has none', () => {
  assert.deepEqual(mirrorsFromListing('Debian|Debian|http://mirror.example/debian/\n'), {
    archive: 'http://mirror.example/debian/',
  })
})

test('mirrorsFromListing() finds nothing where apt was never updated or is not of Debian', () => {
  assert.equal(mirrorsFromListing(''), undefined)
  assert.equal(mirrorsFromListing('Ubuntu|Ubuntu|http://mirror.example/ubuntu/\n'), undefined)
})

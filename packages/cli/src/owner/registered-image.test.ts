import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { GuestImageList } from '@cloister/protocol/broker-admin-api'
import { imagesOfWorkload } from './registered-image.ts'

type Listed = GuestImageList['guestImages'][number]

/** Version N was registered at time N. */
function image(imageVersion: number, changes: Partial<Listed> = {}): Listed {
  return {
    name: 'base',
    imageVersion,
    mode: 'hardware',
    anchors: 'amd',
    digests: 1,
    measurements: ['ab'.repeat(48)],
    state: 'current',
    registeredAt: imageVersion,
    ...changes,
  }
}

const revision = (registeredAt: number, state: 'current' | 'superseded' = 'current') => ({
  name: 'demo',
  revision: 1,
  initdataDigest: '00'.repeat(32),
  state,
  registeredAt,
})

const versions = (images: readonly Listed[], ...revisions: ReturnType<typeof revision>[]) =>
  (imagesOfWorkload(images, revisions) as Listed[]).map(({ imageVersion }) => imageVersion)

describe('imagesOfWorkload()', () => {
  const three = [image(1), image(2), image(3)]

  test('has the image that the workload was registered with, and newer ones; none that was older then', () => {
    assert.deepEqual(versions(three, revision(1)), [1, 2, 3])
    assert.deepEqual(versions(three, revision(2)), [2, 3])
    assert.deepEqual(versions(three, revision(9)), [3])
    assert.deepEqual(versions(three, revision(0)), [1, 2, 3])
  })

  test('has none that is withdrawn, and goes back behind none', () => {
    const withdrawn = image(2, { state: 'withdrawn' })
    assert.deepEqual(versions([image(1), withdrawn, image(3)], revision(1)), [1, 3])
    assert.deepEqual(versions([image(1), withdrawn], revision(2)), [])
  })

  test('keeps names and anchors apart', () => {
    const simulated = image(7, { anchors: 'simulated', mode: 'simulated', registeredAt: 2 })
    assert.deepEqual(versions([image(1), simulated], revision(2)), [1, 7])
    assert.deepEqual(
      versions([image(1), image(7, { name: 'own', registeredAt: 2 })], revision(2)),
      [1, 7],
    )
  })

  test('has no boot bundle of a VM, and nothing for a workload that is not registered', () => {
    assert.deepEqual(versions([image(1, { name: 'vm-web' })], revision(1)), [])
    assert.deepEqual(versions(three), [])
    assert.deepEqual(versions(three, revision(1, 'superseded')), [])
  })
})

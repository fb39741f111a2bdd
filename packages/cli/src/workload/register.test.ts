import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { PutGuestImage } from '@cloister/protocol/broker-admin-api'
import type { GuestImageManifest } from '@cloister/protocol/guest-image-manifest'
import type { BrokerClient } from '../owner/broker-client.ts'
import { registerGuestImage } from './register.ts'

const MANIFEST = { name: 'base' } as GuestImageManifest

async function registered(options: Parameters<typeof registerGuestImage>[2]) {
  const images: PutGuestImage[] = []
  const putGuestImage: BrokerClient['putGuestImage'] = async (_name, image) =>
    void images.push(image)
  await registerGuestImage({ putGuestImage } as BrokerClient, MANIFEST, options)
  return images.map(({ mode, anchors }) => `${mode} under ${anchors}`)
}

test('a guest image is registered for the one mode that counts under the anchors; a debug guest never', async () => {
  assert.deepEqual(await registered({ tee: 'snp', debug: false }), ['hardware under amd'])
  assert.deepEqual(await registered({ tee: 'simulated', debug: false }), [
    'simulated under simulated',
  ])
  assert.deepEqual(await registered({ tee: 'simulated', debug: true }), [])
  assert.deepEqual(await registered({ tee: 'snp', debug: true }), [])
})

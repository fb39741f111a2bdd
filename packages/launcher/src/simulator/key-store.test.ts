import assert from 'node:assert/strict'
import { mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { parseCertificate } from '@cloister/verifier/formats/x509-certificate'
import { isSignedBy } from '@cloister/verifier/formats/x509-verify'
import { openKeyStore } from './key-store.ts'

test('openKeyStore() makes one identity even when asked twice at once, and keeps it', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'keys-'))
  const directory = join(folder, 'simulator')
  const [first, second] = await Promise.all([openKeyStore(directory), openKeyStore(directory)])
  assert.deepEqual(first.chain, second.chain)
  assert.deepEqual((await openKeyStore(directory)).chipId, first.chipId)
  assert.deepEqual(await readdir(directory), ['processor.json'])
  assert.equal((await stat(join(directory, 'processor.json'))).mode & 0o777, 0o600)
  const [ark, ask, vcek] = [first.chain.ark, first.chain.ask, first.chain.vcek].map((der) =>
    parseCertificate(der),
  )
  assert.ok(ark && ask && vcek)
  assert.ok((await isSignedBy(ark, ark)) && (await isSignedBy(ask, ark)))
  assert.ok(await isSignedBy(vcek, ask))
  for (const { subject } of [ark, ask, vcek])
    assert.ok(subject.attributes.every(({ value }) => value.includes('SIMULATED')))
  await writeFile(join(directory, 'processor.json'), '{"version":1}')
  await assert.rejects(openKeyStore(directory), { code: 'simulator.keys-unreadable' })
  await rm(folder, { recursive: true })
})

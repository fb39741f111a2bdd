/** The search that all attack tests end with must find what it is there to find. */
import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { assertSilent, newCanary } from './canary.ts'

test('a canary is found in every form and at every place of a file', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'cl-canary-'))
  t.after(async () => {
    await rm(folder, { recursive: true })
  })
  const canary = newCanary()
  const forms = [
    canary,
    Buffer.from(canary).toString('hex'),
    Buffer.from(`{"value":"${canary}"}`).toString('base64'),
    Buffer.from(`${canary}\n`).toString('base64url'),
    Buffer.from(`xy${canary}z`).toString('base64'),
  ]
  // The last lies across two reads.
  for (const before of [0, 5, (1 << 20) - 20])
    for (const form of forms) {
      await writeFile(join(folder, 'file'), `${'-'.repeat(before)}${form}--`)
      await assert.rejects(assertSilent([folder], [newCanary(), canary]), /holds a canary/)
    }
  await assertSilent([folder], [newCanary()])
})

test('a search of nothing is no search', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'cl-canary-'))
  t.after(async () => {
    await rm(folder, { recursive: true })
  })
  await assert.rejects(assertSilent([folder], [newCanary()]), /nothing was searched/)
})

test('a secret of bytes is found as they are and in base64', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'cl-canary-'))
  t.after(async () => {
    await rm(folder, { recursive: true })
  })
  const secret = Buffer.alloc(32, 0xfb)
  for (const form of [secret, secret.toString('base64'), secret.toString('base64url')]) {
    await writeFile(
      join(folder, 'file'),
      Buffer.concat([Buffer.from('"'), Buffer.from(form), Buffer.from('"')]),
    )
    await assert.rejects(assertSilent([folder], [secret]), /holds a canary/)
  }
})

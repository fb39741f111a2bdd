import assert from 'node:assert/strict'
import { test } from 'node:test'
import { installPackages } from './install-packages.ts'

const options = {
  confirm: () => Promise.resolve(false),
  talk: () => undefined,
  signal: AbortSignal.timeout(10_000),
}

test('installPackages() does nothing when nothing is missing', async () => {
  await installPackages([], options)
})

test('installPackages() installs nothing without a yes', async () => {
  const missing = [{ program: 'p', debianPackage: 'no-such-package', purpose: 'a test' }]
  const code = process.getuid?.() === 0 ? 'cli.packages-missing' : 'cli.not-root'
  await assert.rejects(installPackages(missing, options), { code })
})

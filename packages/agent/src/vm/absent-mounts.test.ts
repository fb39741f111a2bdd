import assert from 'node:assert/strict'
import { test } from 'node:test'
import { overridingUnits, unitName } from './absent-mounts.ts'

test('unitName() escapes as systemd does', () => {
  assert.equal(unitName('/boot/efi'), 'boot-efi')
  assert.equal(unitName('/srv/my-data'), 'srv-my\\x2ddata')
  assert.equal(unitName('/.hidden/a.b'), '\\x2ehidden-a.b')
})

test('overridingUnits() puts an empty file system where the mount would be', () => {
  const [unit] = overridingUnits(['/boot/efi'])
  assert.equal(unit?.file, 'boot-efi.mount')
  assert.match(unit.content, /^Where=\/boot\/efi$/m)
  assert.match(unit.content, /^What=tmpfs$/m)
  assert.match(unit.content, /^Options=ro,/m)
})

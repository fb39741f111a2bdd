import assert from 'node:assert/strict'
import { test } from 'node:test'
import { overridingUnits, unitName } from './absent-mounts.ts'
import { cloudConfig } from './cloud-config.ts'

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

test('cloudConfig() names one data source and keeps user data a value, whatever it holds', () => {
  const userData = '#cloud-config\nruncmd: ["echo \'x\'"]\n: }'
  const [list, source] = cloudConfig({ userData }).split('\n')
  assert.equal(list, 'datasource_list: [ None ]')
  const { None } = JSON.parse(source!.replace('datasource: ', '')) as {
    None: { userdata_raw: string; metadata: { 'instance-id': string } }
  }
  assert.equal(None.userdata_raw, userData)
  assert.notEqual(cloudConfig({ userData: 'x' }), cloudConfig({ userData: 'y' }))
})

/** A guest unpacks extended attributes, so that the image's own programs find them. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { paxHeader, tarStream } from '@cloister/oci/testing/tar-file'
import { startRegistry } from '../interop/test-registry.ts'
import { DebianSoftware } from './debian-software.ts'
import { Deployment } from './deployment.ts'
import { fetchMissingTools } from './missing-tools.ts'
import { publishImage } from './published-image.ts'

/** cap_net_raw, permitted and effective. */
const NET_RAW = Buffer.from('0100000200200000000000000000000000000000', 'hex')

test('file capabilities and user attributes of a layer are there in the container', async (t) => {
  fetchMissingTools('docker-registry')
  const debian = await DebianSoftware.open()
  const directory = mkdtempSync(join(tmpdir(), 'cl-xattrs-'))
  t.after(() => rmSync(directory, { recursive: true, force: true }))
  await using registry = await startRegistry()
  await using deployment = await Deployment.create()
  await debian.layOut(join(directory, 'root'), ['attr'], ['usr/bin/getfattr'], {})
  const attributes = paxHeader({
    'SCHILY.xattr.security.capability': NET_RAW.toString('latin1'),
    'SCHILY.xattr.user.note': 'kept',
    'SCHILY.xattr.trusted.left': 'out',
  })
  const { image, runOptions } = await publishImage(deployment, {
    registry,
    name: 'team/xattrs:v1',
    layers: [
      { directory: join(directory, 'root') },
      { tar: tarStream([attributes, { name: 'capable', content: 'x' }]) },
    ],
    config: { Entrypoint: ['/usr/bin/getfattr', '-d', '-m', '-', '-e', 'hex', '/capable'] },
    directory,
  })
  // A disk of the default size, whose file system comes out of the guest image.
  const guest = ['--tee', 'simulated', '--memory', '512M', '--logs']
  const { exit, stdout, stderr } = await deployment.run(['run', image, ...runOptions, ...guest])
  assert.equal(exit, 0, stderr)
  assert.deepEqual(stdout.match(/^\w+\.\w+=0x\w+$/gm)?.toSorted(), [
    `security.capability=0x${NET_RAW.toString('hex')}`,
    `user.note=0x${Buffer.from('kept').toString('hex')}`,
  ])
})

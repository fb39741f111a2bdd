import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { chmod, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'

import { exists } from './files.ts'
import { PrivateApt } from './private-apt.ts'
import { DEBIAN_KEYRING } from './recipe.ts'
import { temporaryDirectory } from './testing/temporary-directory.ts'

const skip = !(await exists(DEBIAN_KEYRING)) && 'needs apt and the keyring of Debian'
const PACKAGES = 'Package: crun\nVersion: 9\nArchitecture: amd64\nFilename: crun.deb\nSize: 1\n'
const INDEX = 'main/binary-amd64/Packages'
const RELEASE = [
  'Origin: Debian',
  'Label: Debian',
  'Suite: trixie',
  'Codename: trixie',
  `Date: ${new Date().toUTCString()}`,
  'Architectures: amd64',
  'Components: main',
  'SHA256:',
  ` ${createHash('sha256').update(PACKAGES).digest('hex')} ${PACKAGES.length} ${INDEX}`,
  '',
].join('\n')

test('PrivateApt refuses an archive that Debian has not signed', { skip }, async (context) => {
  const archive = await temporaryDirectory(context, {
    'dists/trixie/Release': RELEASE,
    'dists/trixie/Release.gpg': 'not a signature',
    [`dists/trixie/${INDEX}`]: PACKAGES,
  })
  await assert.rejects(update(await stateDirectory(context, archive), `file:${archive}`), {
    code: 'guest-image.fetch-failed',
  })
})

test('PrivateApt says that an archive cannot be reached', { skip }, async (context) => {
  const state = await stateDirectory(context, await temporaryDirectory(context))
  await assert.rejects(update(state, 'file:/absent'), { code: 'guest-image.fetch-failed' })
})

async function update(state: string, address: string): Promise<PrivateApt> {
  return PrivateApt.create(state, [{ address, suite: 'trixie' }], {})
}

/** apt may fetch as another user, who must be able to enter both directories. */
async function stateDirectory(context: Parameters<typeof temporaryDirectory>[0], archive: string) {
  const directory = await temporaryDirectory(context)
  for (const path of [archive, directory]) await chmod(path, 0o755)
  const state = join(directory, 'state')
  await mkdir(state)
  return state
}

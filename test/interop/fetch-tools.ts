/**
 * Fetches the programs of the interoperability tests into Cloister's cache: Debian packages of trixie from this machine's own mirror, signatures
 * verified by apt, unpacked and not installed (installing docker-registry would start a server at every boot). Changes nothing else.
 */
import { execFileSync } from 'node:child_process'
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { debianMirrors } from '@cloister/image/debian-mirror'
import { toolCache } from './tools.ts'

const SUITE = 'trixie'
const PACKAGES = ['cosign', 'docker-registry']
const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg'

const cache = toolCache()
for (const folder of ['lists/partial', 'apt/archives/partial', 'deb', 'root'])
  mkdirSync(join(cache, folder), { recursive: true })

const work = join(cache, 'mirror')
rmSync(work, { recursive: true, force: true })
const { archive: mirror } = await debianMirrors(work, {})
writeFileSync(join(cache, 'sources.list'), `deb [signed-by=${KEYRING}] ${mirror} ${SUITE} main\n`)

const options = [
  `Dir::Etc::sourcelist=${join(cache, 'sources.list')}`,
  'Dir::Etc::sourceparts=/dev/null',
  `Dir::State::lists=${join(cache, 'lists')}`,
  `Dir::Cache=${join(cache, 'apt')}`,
].flatMap((option) => ['-o', option])
apt('update')
apt('download', ...PACKAGES)
for (const file of readdirSync(join(cache, 'deb')))
  execFileSync('dpkg-deb', ['-x', join(cache, 'deb', file), join(cache, 'root')])
console.log(`unpacked ${PACKAGES.join(', ')} into ${cache}`)

function apt(...args: readonly string[]): void {
  execFileSync('apt-get', [...options, '-q', ...args], {
    cwd: join(cache, 'deb'),
    stdio: 'inherit',
  })
}

import assert from 'node:assert/strict'
import { createHash, X509Certificate } from 'node:crypto'
import { chownSync, linkSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import {
  access,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  readlink,
  rm,
  stat,
  writeFile,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { parseCertificate } from '@cloister/verifier/formats/x509-certificate'
import { findTpmChain, leafProblem } from '@cloister/verifier/tpm/certificate'
import { findProgram } from '../find-program.ts'
import { isAlive, killProcess } from '../process-identity.ts'
import { openEkAuthority } from './ek-authority.ts'
import { manufactureVtpm, parseRequest } from './vtpm.ts'
import { startVtpm } from './vtpm-process.ts'

const folder = await mkdtemp(join(tmpdir(), 'vtpm-'))
after(() => rm(folder, { recursive: true }))
const skip = (await findProgram('swtpm_setup')) === undefined && 'swtpm_setup is not installed'
const authority = await openEkAuthority(join(folder, 'authority'))

test('openEkAuthority() makes an authority once, for its owner alone', async () => {
  const again = await openEkAuthority(join(folder, 'authority'))
  assert.deepEqual(again.certificate, authority.certificate)
  const digest = createHash('sha256').update(authority.certificate).digest('hex')
  assert.equal(authority.fingerprint, digest)
  const { ca, subject } = new X509Certificate(authority.certificate)
  assert.equal(ca, true)
  assert.match(subject, /vTPM endorsement authority/)
  const { mode } = await stat(join(folder, 'authority', 'authority.pem'))
  assert.equal(mode & 0o777, 0o600)
})

test('openEkAuthority() refuses files that were changed', async () => {
  const directory = join(folder, 'changed')
  await openEkAuthority(directory)
  const path = join(directory, 'authority.pem')
  const text = await readFile(path, 'utf8')
  const other = await readFile(join(folder, 'authority', 'authority.pem'), 'utf8')
  const certificate = (pem: string) => pem.slice(pem.indexOf('-----BEGIN CERT'))
  for (const changed of [
    '',
    text.slice(0, 300),
    text.replace(certificate(text), certificate(other)),
  ]) {
    await writeFile(path, changed)
    await assert.rejects(openEkAuthority(directory), { code: 'vtpm.authority-unreadable' })
  }
})

test(
  'manufactureVtpm() makes a TPM whose certificates lead to the authority',
  { skip },
  async () => {
    const directory = join(folder, 'made')
    const [stateDirectory, key] = [join(directory, 'tpm'), join(directory, 'tpm.key')]
    await mkdir(directory, { mode: 0o700 })
    const request = { vmId: 'vm-1', authority, stateDirectory, key }
    const { certificates, keyHolder } = await manufactureVtpm(request)
    assert.equal(keyHolder, 'host')
    for (const der of [certificates.rsa, certificates.ecc]) {
      const leaf = parseCertificate(der)
      assert.equal(leafProblem(leaf, 'ek'), undefined)
      const root = parseCertificate(authority.certificate)
      const chain = await findTpmChain(leaf, [root], [authority.fingerprint])
      assert.equal(chain?.length, 2)
    }
    const hex = await readFile(key, 'utf8')
    assert.match(hex, /^[0-9a-f]{64}$/)
    for (const path of [stateDirectory, key]) {
      const { mode, uid } = await stat(path)
      assert.deepEqual([mode & 0o077, uid], [0, process.getuid?.()])
    }
    assert.deepEqual((await readdir(directory)).toSorted(), ['tpm', 'tpm.key'])
    // Nothing of the certificate, which stands in the NVRAM, is to be seen in the state: it is encrypted.
    const state = await readFile(join(stateDirectory, 'tpm2-00.permall'))
    assert.equal(state.includes(Buffer.from(certificates.rsa).subarray(100, 132)), false)
    await assert.rejects(manufactureVtpm(request), { code: 'vm.id-taken' })

    const run = join(folder, 'run')
    await mkdir(run, { mode: 0o700 })
    const start = (files = request) =>
      startVtpm({ id: 'vm-1', runtimeDirectory: run, files, qemu: undefined })
    const swtpm = await start()
    try {
      const status = await readFile(`/proc/${swtpm.identity.pid}/status`, 'utf8')
      assert.match(status, /^CapEff:\s+0+$/m)
      assert.match(status, /^NoNewPrivs:\s+1$/m)
      assert.doesNotMatch(status, process.getuid?.() === 0 ? /^Uid:\s+0\s/m : /^Uid:\s+x/m)
      await access(join(run, 'vtpm.sock'))
    } finally {
      await killProcess(swtpm.identity)
    }
    assert.equal(await isAlive(swtpm.identity), false)
  },
)

test('manufactureVtpm() fails with a code and leaves nothing', { skip }, async () => {
  const directory = join(folder, 'failed')
  const files = { stateDirectory: join(directory, 'tpm'), key: join(directory, 'tpm.key') }
  await mkdir(directory, { mode: 0o700 })
  const broken = {
    ...authority,
    issue: () => {
      throw new RangeError('no certificate')
    },
  }
  await assert.rejects(manufactureVtpm({ ...files, vmId: 'vm-2', authority: broken }), {
    code: 'vtpm.manufacture-failed',
  })
  const signal = AbortSignal.abort(new Error('enough'))
  await assert.rejects(manufactureVtpm({ ...files, vmId: 'vm-2', authority }, signal), {
    message: 'enough',
  })
  assert.deepEqual(await readdir(directory), [])
  assert.deepEqual(await processesIn(directory), [])
})

const skipPlanted =
  skip || (process.getuid?.() !== 0 && 'only root lowers swtpm, and takes back what it made')
const STRANGER = 12_345

/** Makes a TPM in whose folder something is planted while swtpm has it. @returns owner and mode of the victim afterwards */
async function manufactureAround(
  name: string,
  plant: (work: string, victim: string) => void,
): Promise<{ made: Promise<unknown>; owner: () => Promise<number> }> {
  const directory = join(folder, name)
  const victim = join(folder, `${name}.victim`)
  await mkdir(directory, { mode: 0o700 })
  const stateDirectory = join(directory, 'tpm')
  let isPlanted = false
  const planting = {
    ...authority,
    issue: (subject: Parameters<typeof authority.issue>[0]) => {
      if (!isPlanted) plant(`${stateDirectory}.new`, victim)
      isPlanted = true
      return authority.issue(subject)
    },
  }
  const files = { stateDirectory, key: join(directory, 'tpm.key') }
  return {
    made: manufactureVtpm({ ...files, vmId: 'vm-3', authority: planting }),
    owner: async () => (await stat(victim)).uid,
  }
}

test(
  'a link that swtpm plants among its files gives nobody another file',
  { skip: skipPlanted },
  async () => {
    for (const link of [symlinkSync, linkSync]) {
      const { made, owner } = await manufactureAround(link.name, (work, victim) => {
        writeFileSync(victim, 'x')
        chownSync(victim, STRANGER, STRANGER)
        link(victim, join(work, 'state', 'planted'))
      })
      await made
      assert.equal(await owner(), STRANGER)
    }
  },
)

test('a key that is a link is refused, and nothing is left', { skip: skipPlanted }, async () => {
  const { made, owner } = await manufactureAround('key', (work, victim) => {
    writeFileSync(victim, readFileSync(join(work, 'key')), { mode: 0o644 })
    chownSync(victim, STRANGER, STRANGER)
    rmSync(join(work, 'key'))
    linkSync(victim, join(work, 'key'))
  })
  await assert.rejects(made, {
    code: 'vtpm.manufacture-failed',
    details: { where: join(folder, 'key', 'tpm.new'), received: 'a link' },
  })
  assert.equal(await owner(), STRANGER)
  assert.deepEqual(await readdir(join(folder, 'key')), [])
})

/** Ids of processes that have their working directory there, removed or not. */
async function processesIn(directory: string): Promise<string[]> {
  const found: string[] = []
  for (const pid of await readdir('/proc')) {
    const place = /^\d+$/.test(pid) ? await readlink(`/proc/${pid}/cwd`).catch(() => '') : ''
    if (place.startsWith(`${directory}/`)) found.push(pid)
  }
  return found
}

test('startVtpm() fails when key or state are missing', { skip }, async () => {
  const run = join(folder, 'run-failed')
  await mkdir(run, { mode: 0o700 })
  const start = (files: { stateDirectory: string; key: string }) =>
    startVtpm({ id: 'vm-3', runtimeDirectory: run, files, qemu: undefined })
  const key = join(folder, 'short.key')
  await writeFile(key, '00')
  const stateDirectory = join(folder, 'empty')
  await mkdir(stateDirectory)
  await assert.rejects(start({ stateDirectory, key }), { code: 'vm.file-missing' })
  await writeFile(join(stateDirectory, 'tpm2-00.permall'), '')
  await assert.rejects(start({ stateDirectory, key: join(folder, 'none') }), {
    code: 'vm.file-missing',
  })
  await assert.rejects(start({ stateDirectory, key }), {
    code: 'vtpm.start-failed',
  })
})

test('parseRequest() takes the words of swtpm_setup and nothing else', () => {
  const words = (ek: string) =>
    [
      '--type ek',
      `--ek ${ek}`,
      '--dir state --vmid vm-1 --tpm-spec-family 2.0 --tpm-spec-revision 164 --tpm-spec-level 0',
      '--tpm-manufacturer id:00001014 --tpm-model swtpm --tpm-version id:20191023',
    ]
      .join(' ')
      .replaceAll(' ', '\n')
  assert.equal(parseRequest(words('ab'.repeat(256))).kind, 'rsa')
  for (const ek of ['ab', 'x=1,y=2,id=secp256r1', 'x=1,y=2,id=secp384r1', ''])
    assert.throws(() => parseRequest(words(ek)), RangeError)
  assert.throws(() => parseRequest(''), RangeError)
  assert.throws(
    () => parseRequest(words('ab'.repeat(256)).replace('swtpm\n', 'sw;tpm\n')),
    RangeError,
  )
})

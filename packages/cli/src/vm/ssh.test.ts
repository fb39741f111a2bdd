import { execFileSync } from 'node:child_process'
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { VmView } from '@cloister/protocol/hostd-vm-api'
import { CloisterError } from '@cloister/protocol/error'
import { isCode } from '@cloister/protocol/testing'
import { findProgram } from '../setup/requirements.ts'
import {
  keepIdentity,
  makeKeyPair,
  readGivenKey,
  readIdentity,
  removeIdentity,
} from './ssh-identity.ts'
import { awaitSsh, openGuestShell, sshArguments, sshTarget } from './ssh-session.ts'

const view = (changes: Partial<VmView>) =>
  ({ state: 'running', ports: [], network: { kind: 'user' }, ...changes }) as VmView
const ports = [{ address: '0.0.0.0', host: 2222, guest: 22 }]

describe('sshTarget()', () => {
  test('finds the port that leads to 22', () => {
    assert.deepEqual(sshTarget(view({ ports })), { address: '127.0.0.1', port: 2222 })
  })

  test('says why there is none', () => {
    assert.throws(() => sshTarget(view({ ports, state: 'stopped' })), isCode('vm.not-running'))
    assert.throws(() => sshTarget(view({})), isCode('vm.ssh-port-unpublished'))
  })
})

describe('sshArguments()', () => {
  const session = {
    name: 'box',
    target: { address: '127.0.0.1', port: 2222 },
    identity: { version: 1, user: 'debian', key: '/k', isHostKeyGiven: true } as const,
    knownHosts: '/home/a "b"/known_hosts',
    user: undefined,
    acceptsNewKey: false,
    command: [] as readonly string[],
  }

  test('compares the key of the seed, whatever the port', () => {
    const words = sshArguments(session)
    for (const option of [
      'HostKeyAlias=cloister-vm-box',
      'StrictHostKeyChecking=yes',
      'UpdateHostKeys=no',
      'IdentitiesOnly=yes',
      String.raw`UserKnownHostsFile="/home/a \"b\"/known_hosts"`,
    ])
      assert.ok(words.includes(option), option)
    assert.deepEqual(words.slice(0, 6), ['-p', '2222', '-l', 'debian', '-i', '/k'])
    assert.deepEqual(words.slice(-2), ['--', '127.0.0.1'])
  })

  test('learns a key only where none was given, or when told to', () => {
    const learns = 'StrictHostKeyChecking=accept-new'
    const none = { ...session.identity, isHostKeyGiven: false }
    assert.ok(sshArguments({ ...session, identity: none }).includes(learns))
    assert.ok(sshArguments({ ...session, identity: none }).includes('LogLevel=INFO'))
    assert.ok(sshArguments({ ...session, acceptsNewKey: true }).includes(learns))
  })

  test('gives several words to the shell as they are, and one as a shell reads it', () => {
    assert.equal(sshArguments({ ...session, command: ['ls; id'] }).at(-1), 'ls; id')
    assert.equal(
      sshArguments({ ...session, command: ['echo', 'a  b', "it's", '$x'] }).at(-1),
      String.raw`echo 'a  b' 'it'\''s' '$x'`,
    )
  })
})

describe('awaitSsh()', () => {
  test('waits until an ssh server speaks, not until the port is open', async () => {
    let greets = false
    const server = createServer((socket) => {
      socket.on('error', () => undefined)
      if (greets) socket.write('hello\r\nSSH-2.0-test\r\n')
      else socket.end()
      greets = true
    }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    const target = { address: '127.0.0.1', port }
    const signal = AbortSignal.timeout(20_000)
    const check = async () => undefined
    await awaitSsh(target, { timeoutMs: 10_000, signal, check })
    server.close()
    await assert.rejects(
      awaitSsh(target, { timeoutMs: 0, signal, check }),
      isCode('vm.ssh-unreachable'),
    )
    const ended = () => Promise.reject(new CloisterError('vm.not-running'))
    await assert.rejects(
      awaitSsh(target, { timeoutMs: 10_000, signal, check: ended }),
      isCode('vm.not-running'),
    )
  })
})

test('openGuestShell() gives what the guest writes, and makes what it complains of harmless', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'cl-ssh-'))
  const path = process.env['PATH']
  // As the guest of an ssh that says a title for the terminal.
  const script = "#!/bin/sh\nprintf '\\033]0;owned\\007pinned\\n' >&2\nexec sh\n"
  await writeFile(join(folder, 'ssh'), script, { mode: 0o755 })
  process.env['PATH'] = `${folder}:${path}`
  let complained = ''
  try {
    const target = { address: '127.0.0.1', port: 1 }
    const identity = { version: 1, isHostKeyGiven: false } as const
    const session = { name: 'box', target, identity, knownHosts: '/k', user: undefined }
    const whole = { ...session, acceptsNewKey: false, command: [] }
    await using shell = openGuestShell(
      whole,
      (text) => (complained += text),
      AbortSignal.timeout(10_000),
    )
    assert.equal(await shell.run('echo one; echo two'), 'one\ntwo\n')
    await assert.rejects(shell.run('exit 3'), { code: 'vm.ssh-command-failed' })
  } finally {
    process.env['PATH'] = path
    await rm(folder, { recursive: true })
  }
  assert.equal(complained, String.raw`\u001b]0;owned\u0007pinned` + '\n')
})

const hasKeygen = findProgram('ssh-keygen') !== undefined

describe('keys', { skip: hasKeygen ? false : 'no ssh-keygen on this host' }, () => {
  test('a made key is kept where only its owner reads it, and removed with the VM', async () => {
    const owner = await mkdtemp(join(tmpdir(), 'cl-owner-'))
    const madeKey = await makeKeyPair('box')
    const hostKey = await makeKeyPair('box')
    const kept = { user: 'debian', givenKey: undefined, madeKey, hostKey }
    await keepIdentity({ owner }, 'box', kept)
    const { identity, knownHosts } = await readIdentity({ owner }, 'box')
    assert.equal(identity.user, 'debian')
    assert.equal((await stat(identity.key ?? '')).mode & 0o777, 0o600)
    const found = execFileSync('ssh-keygen', ['-F', 'cloister-vm-box', '-f', knownHosts], {
      encoding: 'utf8',
    })
    assert.ok(found.includes(hostKey.publicKey.split(' ')[1] ?? ''))
    assert.ok(!(await readFile(knownHosts, 'utf8')).includes('PRIVATE'))
    await removeIdentity({ owner }, 'box')
    const gone = await readIdentity({ owner }, 'box')
    assert.equal(gone.identity.isHostKeyGiven, false)
    await rm(owner, { recursive: true })
  })

  test('a given public key brings the private one beside it, if it is there', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'cl-key-'))
    const { publicKey, privateKey } = await makeKeyPair('me')
    const file = join(folder, 'id')
    await writeFile(`${file}.pub`, publicKey)
    assert.deepEqual(await readGivenKey(`${file}.pub`), { publicKey, key: undefined })
    await writeFile(file, privateKey)
    assert.deepEqual(await readGivenKey(`${file}.pub`), { publicKey, key: file })
    assert.deepEqual(await readGivenKey(file), { publicKey, key: file })
    await writeFile(join(folder, 'other'), 'no key\n')
    await assert.rejects(readGivenKey(join(folder, 'other')), isCode('cli.file-unreadable'))
    await rm(folder, { recursive: true })
  })
})

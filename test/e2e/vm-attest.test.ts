/**
 * Attestation of a VM whose owner installed the agent: a Debian disk that nobody prepared for Cloister, Secure Boot on, a vTPM, no TEE. What the host
 * sees without the agent, and what the agent's package changes.
 */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'node:test'
import { HostdClient, hostdSocket } from '@cloister/hostd/client'
import { ensureCatalogueImage } from '@cloister/image/disk/catalogue'
import { directories } from '@cloister/protocol/directories'
import { freePort } from '../interop/test-registry.ts'
import { Deployment } from './deployment.ts'

/** Emulated and on a busy machine it boots in several minutes; alone in half of one. */
const BOOT_SECONDS = '600'
const TRIES = 90
const KERNEL_LOG = '/sys/kernel/security/tpm0/binary_bios_measurements'

interface Verdict {
  readonly trust: string
  readonly checks: readonly { readonly code: string; readonly outcome: string }[]
  readonly claims: readonly {
    readonly claim: string
    readonly value: string
    readonly behind: string
  }[]
}

const SECRET = 'for-the-vm-alone'
/** In the VM, on its loopback. */
const SERVED_PORT = 7777
/** Not http.server, which looks its own name up before it listens. */
const SERVER = `import socket
server = socket.create_server(("127.0.0.1", ${SERVED_PORT}))
while True:
    connection, _ = server.accept()
    connection.recv(4096)
    connection.sendall(b"HTTP/1.0 200 OK\\r\\n\\r\\nfrom inside")
    connection.close()`

interface Integrity extends Pick<Verdict, 'checks'> {
  readonly early: string
  readonly late: string
  readonly quoted: { readonly early: boolean; readonly late: boolean }
}

/** TPM2_PCR_Extend (TPM 2.0 part 3, 22.2) of a SHA-256 digest, with an empty password; the image has no TPM tools. */
const EXTEND_PCR_9 = `sudo python3 -c '
command = bytes.fromhex("8002" + "00000041" + "00000182" + "00000009" + "00000009" + "40000009" + "0000" + "00" + "0000" + "00000001" + "000b") + b"x" * 32
with open("/dev/tpmrm0", "r+b", buffering=0) as tpm:
    tpm.write(command)
    assert tpm.read(4096)[6:10] == bytes(4)'`

test('a VM attests by its TPM', { timeout: 2_400_000 }, async (t) => {
  await ensureCatalogueImage('debian-12', { directories: directories() })
  await using deployment = await Deployment.create()
  const places = directories({
    CLOISTER_HOME: deployment.home,
    CLOISTER_RUNTIME_DIR: deployment.runtime,
  })
  const port = await freePort()
  const size = ['--cpus', '1', '--memory', '1G', '--disk', '2G']
  const shape = ['--tee', 'none', ...size, '-p', `${port}:22`, '--yes']
  await deployment.succeed('vm', 'create', 'att', '--image', 'debian-12', ...shape)
  const inGuest = async (script: string) => {
    const words = ['vm', 'ssh', 'att', '--wait', BOOT_SECONDS, '--', script]
    const { exit, stdout, stderr } = await deployment.run(words, { timeoutMs: 700_000 })
    assert.equal(exit, 0, `${script}: ${stdout}${stderr}`)
    return stdout.trim()
  }
  const verify = async () => {
    const { exit, stdout } = await deployment.run(['verify', 'att', '-o', 'json'])
    return { exit, ...(JSON.parse(stdout) as Verdict) }
  }
  /** Asks again until the trust is another than nothing. */
  const verifyUntil = async (isGood: (verdict: Verdict) => boolean) => {
    for (let attempt = 1; ; attempt++) {
      const verdict = await verify()
      if (isGood(verdict)) return verdict
      if (attempt === TRIES) throw new Error(`still ${JSON.stringify(verdict).slice(0, 2000)}`)
      await sleep(2_000)
    }
  }
  await inGuest('true')

  await t.test('without an agent it is unattested, and the command says so', async () => {
    const { exit, trust, checks, claims } = await verify()
    assert.deepEqual([exit, trust, claims], [3, 'unattested', []])
    assert.deepEqual(
      checks.map(({ code, outcome }) => [code, outcome]),
      [['vm.agent', 'undecided']],
    )
  })

  await t.test('its boot log is found in its RAM, byte for byte what its kernel has', async () => {
    const { vms } = new HostdClient(hostdSocket(places))
    const { source, log } = await vms.bootLog('att')
    assert.equal(source, 'memory')
    const digest = createHash('sha256').update(Buffer.from(log, 'base64')).digest('hex')
    assert.equal((await inGuest(`sudo sha256sum ${KERNEL_LOG}`)).split(' ')[0], digest)
  })

  await t.test('the host reads what the guest keeps in memory and on disk', async () => {
    const proof = (await deployment.succeed('vm', 'prove', 'att')) as {
      readonly memory: { readonly found: number; readonly ranges: readonly object[] }
      readonly disk: { readonly found: number }
      readonly meaning: string
    }
    assert.ok(proof.memory.found >= 16 && proof.disk.found >= 16, JSON.stringify(proof))
    assert.match(proof.meaning, /no TEE/)
    assert.deepEqual(readdirSync(join(places.hostd, 'dumps')), [])
    assert.equal(await inGuest('ls /dev/shm/cloister-prove /var/tmp/cloister-prove || true'), '')
  })

  await t.test('the package installs, and its agent answers', async () => {
    const { url } = (await deployment.succeed('broker', 'status')) as { url: string }
    const reached = `https://10.0.2.2:${new URL(url).port}`
    const file = join(deployment.home, 'agent.deb')
    const shared = ['--resource', 'default/secret/web-key', '--port', `${SERVED_PORT}`]
    await deployment.succeed('agent', 'package', '--broker', reached, ...shared, '--out', file)
    assert.ok(statSync(file).size > 1 << 20)
    const key = join(places.owner, 'vms/att/id_ed25519')
    const trusting = ['StrictHostKeyChecking=no', 'UserKnownHostsFile=/dev/null', 'LogLevel=ERROR']
    const options = trusting.flatMap((option) => ['-o', option])
    const words = ['-q', '-i', key, ...options, '-P', `${port}`, file]
    execFileSync('scp', [...words, 'debian@127.0.0.1:/tmp/agent.deb'])
    await inGuest('sudo dpkg -i /tmp/agent.deb')
    // The owner has not pinned the CA of its TPM: it answers, and nobody vouches for it.
    const verdict = await verifyUntil(({ checks }) =>
      checks.some(({ code }) => code === 'tpm.ak.not-certified'),
    )
    assert.deepEqual([verdict.exit, verdict.trust, verdict.claims], [3, 'unattested', []])
  })

  await t.test('under the CA of its TPM it is degraded, and says what stands behind', async () => {
    await deployment.succeed('tpm-ca', 'add', '--this-host')
    await inGuest('sudo systemctl restart cloister-agent')
    const { exit, claims, checks } = await verifyUntil(({ trust }) => trust === 'degraded')
    assert.equal(exit, 0)
    assert.deepEqual(
      checks.filter(({ outcome }) => outcome === 'fail' || outcome === 'undecided'),
      [],
    )
    assert.deepEqual([...new Set(claims.map(({ behind }) => behind))], ['host-vtpm'])
    assert.equal(claims.find(({ claim }) => claim === 'Secure Boot')?.value, 'on')
    const line = claims.find(({ claim }) => claim === 'kernel command line')?.value ?? ''
    assert.equal(
      line.split(' ').slice(1).join(' '),
      (await inGuest('cat /proc/cmdline')).split(' ').slice(1).join(' '),
    )
    const { token, tee } = (await deployment.succeed('attest', 'att')) as {
      readonly token: string
      readonly tee: string
    }
    assert.equal(tee, 'tpm')
    const { submods } = JSON.parse(
      Buffer.from(token.split('.')[1] ?? '', 'base64url').toString(),
    ) as { submods: { cpu0: Record<string, unknown> } }
    assert.equal(submods.cpu0['ear.status'], 'warning')
  })

  await t.test(
    'programs in the VM read the secret that its TPM may have, and no other',
    async () => {
      const { claims } = await verify()
      const endorsementKey = claims.find(({ claim }) => claim === 'TPM')?.value ?? ''
      const policy = join(deployment.home, 'policy.json')
      const value = join(deployment.home, 'value')
      writeFileSync(value, SECRET)
      writeFileSync(
        policy,
        JSON.stringify({
          version: 1,
          kind: 'tpm',
          endorsementKeys: [endorsementKey],
          requireSecureBoot: true,
        }),
      )
      const put = ['secret', 'put', 'web-key', '--from-file', value, '--policy', policy]
      await deployment.succeed(...put)
      const read = (name: string) =>
        inGuest(
          `python3 -c 'import urllib.request as r; print(r.urlopen("http://127.0.0.1:8006/cdh/resource/default/secret/${name}").read().decode())' 2>&1 | tail -1`,
        )
      assert.equal(await read('web-key'), SECRET)
      assert.match(await read('other'), /HTTP Error 4\d\d/)
    },
  )

  await t.test(
    'its owner reaches a port of it through the host, by the key in the quote',
    async () => {
      const isServed = `for second in $(seq 60); do ss -Hltn | grep -q :${SERVED_PORT} && exit 0; sleep 1; done; exit 1`
      await inGuest(`sudo systemd-run -q python3 -c '${SERVER}'; ${isServed}`)
      const local = await freePort()
      const words = ['connect', 'att', `${SERVED_PORT}`, '--listen', `${local}`]
      await using _forward = await deployment.start(...words)
      assert.equal(await (await fetch(`http://127.0.0.1:${local}/`)).text(), 'from inside')
    },
  )

  const integrity = async (...options: readonly string[]) => {
    const words = ['vm', 'integrity', 'att', ...options, '-o', 'json']
    const { exit, stdout } = await deployment.run(words)
    return { exit, ...(JSON.parse(stdout) as Integrity) }
  }
  const outcomeOf = ({ checks }: Integrity, code: string) =>
    checks.find((check) => check.code === code)?.outcome

  await t.test('its boot is quoted over a fresh nonce, and so is what was learned', async () => {
    assert.equal((await integrity('--learn')).exit, 0)
    const found = await integrity()
    assert.deepEqual([found.early, found.late, found.exit], ['match', 'match', 0])
    assert.deepEqual(found.quoted, { early: true, late: true })
    assert.deepEqual(
      ['integrity.unquoted', 'integrity.quote'].map((code) => outcomeOf(found, code)),
      ['pass', 'pass'],
    )
  })

  await t.test('a register that was extended behind the log is refused', async () => {
    await inGuest(EXTEND_PCR_9)
    const found = await integrity()
    assert.deepEqual([outcomeOf(found, 'integrity.quote'), found.exit], ['fail', 2])
    assert.deepEqual(found.quoted, { early: false, late: false })
  })

  await t.test('the agent does not keep the VM from ending, nor end it', async () => {
    await inGuest('sudo systemctl stop cloister-agent')
    assert.equal(await inGuest('systemctl is-active cloister-agent || true'), 'inactive')
    const { state } = (await deployment.succeed('vm', 'stop', 'att')) as { state: string }
    assert.equal(state, 'stopped')
  })
})

/**
 * A broker in a process of its own, for `bench/broker-rcar.ts`: started with a simulated root's fingerprint and the workload's initdata
 * in its first message, it answers with its address, then `cpu` and `floor` with microseconds and `memory` with MiB.
 */
import { diffieHellman, generateKeyPairSync, sign, verify } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { registerDemo, startTestBroker } from '../src/testing/test-broker.ts'

interface Start {
  readonly fingerprint: string
  readonly initdata: string
}

const unlimited = { burst: 1e9, perSecond: 1e9 }

function memory() {
  const status = readFileSync('/proc/self/status', 'utf8')
  const mebibytes = (name: string) =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1]) / 1024
  return { rss: mebibytes('VmRSS'), anonymous: mebibytes('RssAnon') }
}

function cpu(): number {
  const { user, system } = process.cpuUsage()
  return user + system
}

const data = Buffer.alloc(672, 7)
const p384 = generateKeyPairSync('ec', { namedCurve: 'P-384' })
const p256 = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const report = sign('sha384', data, p384.privateKey)

/** CPU time of what no broker can leave out: the report's signature, the token's, the key agreement of the JWE. */
function nativeCryptography(): number {
  const start = cpu()
  verify('sha384', data, p384.publicKey, report)
  sign('sha256', data, p256.privateKey)
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  diffieHellman({ privateKey, publicKey: p256.publicKey })
  return cpu() - start
}

const ANSWERS = { cpu, memory, floor: nativeCryptography }

process.once('message', ({ fingerprint, initdata }: Start) => {
  void (async () => {
    const t = await startTestBroker({
      simulatedRoots: [fingerprint],
      limits: unlimited,
    })
    await registerDemo(t, {
      initdata: Buffer.from(initdata),
      value: Buffer.from('secret'),
      anchors: 'simulated',
      mode: 'simulated',
    })
    process.on('message', (question: keyof typeof ANSWERS) => {
      process.send?.(ANSWERS[question]())
    })
    process.once('disconnect', () => {
      void t[Symbol.asyncDispose]()
    })
    process.send?.({
      url: t.broker.url,
      certificate: readFileSync(join(t.directory, 'tls.crt'), 'utf8'),
    })
  })()
})

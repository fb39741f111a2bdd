/**
 * A broker in a process of its own, for `bench/broker-rcar.ts`: started with a simulated root's fingerprint and the workload's initdata
 * in its first message, it answers with its address, then `cpu` with microseconds and `memory` with MiB.
 */
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
    process.on('message', (question) => {
      const { user, system } = process.cpuUsage()
      process.send?.(question === 'cpu' ? user + system : memory())
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

/**
 * RCAR at the broker: CPU time of a handshake with one resource (over open connections, endorsements cached, by bearer
 * token as our agent asks) against the native cryptography in it, done by the same process as often; and how latency spreads when 64 guests come at once.
 * The broker runs in its own process; a simulated processor signs the reports.
 */
import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { Agent } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { BROKER_ENVIRONMENT, BROKER_NODE_OPTIONS } from '@cloister/broker/node-options'
import { FakeGuest, fakeInitdata } from '@cloister/broker/testing/fake-guest'
import { RcarClient } from '@cloister/broker/testing/rcar-client'
import { FakeAmd } from '@cloister/verifier/testing/fake-amd'
import { lowerQuarter, median, type Figure } from './figure.ts'

const SERVER = fileURLToPath(new URL('../packages/broker/bench/rcar-server.ts', import.meta.url))
const WARM_UP = 2000
/** Floor and ours take turns, each turn of so many: whatever else goes on in the machine and in the process meets both. */
const TURNS = 24
const HANDSHAKES = 25
const CLIENTS = 64
const ROUNDS = 6
/** The broker looks every 10 s whether it is idle. */
const IDLE_MS = 25_000
const FRESH_MS = 13_000

interface Started {
  readonly url: string
  readonly certificate: string
}

export async function run(): Promise<readonly Figure[]> {
  const amd = new FakeAmd({ names: 'simulated' })
  const initdata = fakeInitdata()
  const compiled = mkdtempSync(join(tmpdir(), 'cloister-bench-rcar-'))
  // As the product runs it: with its options, and from the second start on with sources that are compiled already.
  const start = () =>
    fork(SERVER, {
      execArgv: [...BROKER_NODE_OPTIONS],
      env: { ...process.env, ...BROKER_ENVIRONMENT, NODE_COMPILE_CACHE: compiled },
    })
  const first = start()
  await started(first, amd, initdata)
  first.disconnect()
  await once(first, 'exit')
  const child = start()
  try {
    const { url, certificate } = await started(child, amd, initdata)
    const agent = new Agent({ keepAlive: true, ca: certificate, maxSockets: CLIENTS })
    const client = new RcarClient(url, agent)
    const guest = new FakeGuest({ amd, initdata })
    await sleep(FRESH_MS)
    const fresh = await ask<Memory>(child, 'memory')
    const figures = [await cpuFigure(child, client, guest), await latencyFigure(client, guest)]
    agent.destroy()
    await sleep(IDLE_MS)
    const used = await ask<Memory>(child, 'memory')
    const after = `${IDLE_MS / 1000} s after the load`
    return [
      ...figures,
      memoryFigure(`${FRESH_MS / 1000} s after its start`, fresh),
      memoryFigure(after, used),
    ]
  } finally {
    child.disconnect()
    rmSync(compiled, { recursive: true, force: true })
  }
}

async function started(child: ChildProcess, amd: FakeAmd, initdata: Uint8Array): Promise<Started> {
  child.send({ fingerprint: amd.fingerprint, initdata: Buffer.from(initdata).toString() })
  const [answer] = (await once(child, 'message')) as [Started]
  return answer
}

async function cpuFigure(
  child: ChildProcess,
  client: RcarClient,
  guest: FakeGuest,
): Promise<Figure> {
  for (let n = 0; n < WARM_UP; n++) await handshake(client, guest)
  const turns: { readonly floor: number; readonly ours: number }[] = []
  for (let turn = 0; turn < TURNS; turn++) {
    const before = await ask<number>(child, 'cpu')
    for (let n = 0; n < HANDSHAKES; n++) await handshake(client, guest)
    const ours = (await ask<number>(child, 'cpu')) - before
    let floor = 0
    for (let n = 0; n < HANDSHAKES; n++) floor += await ask<number>(child, 'floor')
    turns.push({ floor: milliseconds(floor), ours: milliseconds(ours) })
  }
  const floor = lowerQuarter(turns.map((turn) => turn.floor))
  const ours = lowerQuarter(turns.map((turn) => turn.ours))
  const quiet =
    Math.min(...turns.map((turn) => turn.ours)) / Math.min(...turns.map((turn) => turn.floor))
  return {
    name: `RCAR and one resource: CPU of the broker, lower quarter of ${TURNS} turns (lowest of each: ${quiet.toFixed(2)} times)`,
    unit: 'ms',
    floor,
    ours,
    promise: 'at most 2 times its native cryptography',
    held: ours <= 2 * floor,
  }
}

/** @param microseconds - of a turn. @returns of one handshake */
function milliseconds(microseconds: number): number {
  return microseconds / 1000 / HANDSHAKES
}

async function latencyFigure(client: RcarClient, guest: FakeGuest): Promise<Figure> {
  const times: number[] = []
  const loop = async () => {
    for (let round = 0; round < ROUNDS; round++) times.push(await handshake(client, guest))
  }
  await Promise.all(Array.from({ length: CLIENTS }, loop))
  const sorted = times.sort((a, b) => a - b)
  const p50 = median(sorted)
  const p99 = sorted[Math.floor(sorted.length * 0.99)] as number
  return {
    name: `RCAR of ${CLIENTS} guests at once: p50 and p99`,
    unit: 'ms',
    floor: p50,
    ours: p99,
    promise: 'p99 under 10 times p50',
    held: p99 < 10 * p50,
  }
}

function memoryFigure(state: string, { anonymous, rss }: Memory): Figure {
  return {
    name: `broker, idle, ${state}: RssAnon (whole RSS ${Math.round(rss)})`,
    unit: 'MiB',
    floor: 0,
    ours: anonymous,
    promise: 'at most 64 MiB',
    held: anonymous <= 64,
  }
}

/** Request, Challenge, Attestation, Response. @returns milliseconds spent waiting for the broker */
async function handshake(client: RcarClient, guest: FakeGuest): Promise<number> {
  const start = performance.now()
  const challenge = await client.auth()
  const challenged = performance.now()
  const attestation = client.attestation(challenge, guest)
  const signed = performance.now()
  const { status, text } = await client.send(challenge, attestation)
  if (status !== 200) throw new Error(`attest: ${status} ${text}`)
  const { token } = JSON.parse(text) as { token: string }
  const authorization = `Bearer ${token}`
  const answer = await client.call('GET', '/resource/default/demo/secret', { authorization })
  if (answer.status !== 200) throw new Error(`resource: ${answer.status} ${answer.text}`)
  return performance.now() - start - (signed - challenged)
}

interface Memory {
  readonly rss: number
  readonly anonymous: number
}

async function ask<Answer>(child: ChildProcess, question: string): Promise<Answer> {
  child.send(question)
  const [answer] = (await once(child, 'message')) as [Answer]
  return answer
}

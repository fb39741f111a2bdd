/**
 * The worlds of the attacks at the protocol, each searched for its secret when its test is over: the broker's files, with storage and audit, and every answer that
 * went out, as whoever ends the TLS reads it.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { tdxWorld, type TdxWorld, type TdxWorldOptions } from '@cloister/broker/testing/fake-td'
import type { TestBroker } from '@cloister/broker/testing/test-broker'
import {
  hardwareWorld,
  simulatedWorld,
  type World,
  type WorldOptions,
} from '@cloister/broker/testing/world'
import { assertSilent } from './canary.ts'

export const silentHardwareWorld = async (options?: WorldOptions): Promise<World> =>
  silent(await hardwareWorld(options))

export const silentSimulatedWorld = async (options?: WorldOptions): Promise<World> =>
  silent(await simulatedWorld(options))

export const silentTdxWorld = async (options?: TdxWorldOptions): Promise<TdxWorld> =>
  silent(await tdxWorld(options))

interface SomeWorld extends AsyncDisposable {
  readonly t: TestBroker
  readonly secret: Buffer
}

function silent<Kind extends SomeWorld>(world: Kind): Kind {
  const answers = recordAnswers(world.t)
  return {
    ...world,
    [Symbol.asyncDispose]: async () => {
      try {
        await assertBrokerSilent(world.t, answers, [world.secret])
      } finally {
        await world[Symbol.asyncDispose]()
      }
    },
  }
}

/** Answers of the guests' side, as they come. */
export function recordAnswers({ client }: TestBroker): readonly string[] {
  const answers: string[] = []
  const call = client.call.bind(client)
  client.call = async (...request) => {
    const answer = await call(...request)
    answers.push(answer.text)
    return answer
  }
  return answers
}

/** Fails when the broker's directory or an answer holds one of the secrets. */
export async function assertBrokerSilent(
  { directory }: TestBroker,
  answers: readonly string[],
  secrets: readonly Uint8Array[],
): Promise<void> {
  const records = await mkdtemp(join(tmpdir(), 'cl-answers-'))
  try {
    await writeFile(join(records, 'answers'), answers.join('\n'))
    await assertSilent([directory, records], secrets)
  } finally {
    await rm(records, { recursive: true })
  }
}

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CloisterError } from '@cloister/protocol/error'
import type { Invocation } from '../command.ts'
import { command } from './explain.ts'

/** The commands that the refusal of an unknown code names. */
async function suggested(word: string): Promise<readonly string[]> {
  const error = await Promise.resolve(
    command.run({ positionals: [word] as readonly string[] } as Invocation),
  ).then(
    () => assert.fail(`${word} is known`),
    (refusal: unknown) => refusal,
  )
  assert.ok(error instanceof CloisterError && error.code === 'cli.unknown-code')
  return error.details.fix ?? []
}

test('explain lists the codes that contain a word, whatever its case', async () => {
  assert.ok((await suggested('SIMULATED')).includes('cloister explain snp.anchor.simulated'))
})

test('explain guesses a mistyped code', async () => {
  assert.deepEqual(await suggested('image.not-foud'), ['cloister explain image.not-found'])
  assert.deepEqual(await suggested('Release.policy-abset'), [
    'cloister explain release.policy-absent',
  ])
})

test('explain names the pages where nothing is alike', async () => {
  for (const word of ['', 'nonsense'])
    assert.deepEqual(await suggested(word), [
      'see docs/reference/errors.md and docs/reference/checks.md',
    ])
})

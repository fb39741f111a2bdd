import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'

import { bundleAgent } from './agent-bundle.ts'
import { temporaryDirectory } from './testing/temporary-directory.ts'

test('bundleAgent() makes the same bytes each time and in any place', async (context) => {
  const files = {
    'main.ts':
      "import { word } from './word.ts'\nprocess.stdout.write(word satisfies string)\nawait import('./late.ts')\n",
    'late.ts': "import { word } from './word.ts'\nprocess.stdout.write(`late ${word}`)\n",
    'word.ts': "export const word: string = 'unbuilt'\n",
  }
  const bundles = []
  for (const directory of [
    await temporaryDirectory(context, files),
    await temporaryDirectory(context, files),
  ])
    bundles.push(await bundleAgent(join(directory, 'main.ts')))
  assert.deepEqual(bundles[0], bundles[1])
  const [main, ...others] = bundles[0]!.keys()
  assert.equal(main, 'agent.mjs')
  assert.ok(others.includes('agent.late.mjs'))
  assert.match([...bundles[0]!.values()].join(''), /unbuilt/)
  assert.doesNotMatch(bundles[0]!.get('agent.mjs')!, /late \$/)
})

test('bundleAgent() fails for an import that the guest would not find', async (context) => {
  const directory = await temporaryDirectory(context, { 'main.ts': "import 'absent-package'\n" })
  await assert.rejects(bundleAgent(join(directory, 'main.ts')), {
    code: 'guest-image.agent-bundle-failed',
  })
})

test('bundleAgent() fails for an entry that is not there', async (context) => {
  const directory = await temporaryDirectory(context)
  await assert.rejects(bundleAgent(join(directory, 'main.ts')), {
    code: 'guest-image.agent-bundle-failed',
  })
})

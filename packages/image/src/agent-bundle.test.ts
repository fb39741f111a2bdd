import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'

import { bundleAgent } from './agent-bundle.ts'
import { temporaryDirectory } from './testing/temporary-directory.ts'

test('bundleAgent() makes one module, the same bytes each time and in any place', async (context) => {
  const files = {
    'main.ts': "import { word } from './word.ts'\nprocess.stdout.write(word satisfies string)\n",
    'word.ts': "export const word: string = 'unbuilt'\n",
  }
  const bundles = []
  for (const directory of [
    await temporaryDirectory(context, files),
    await temporaryDirectory(context, files),
  ])
    bundles.push(await bundleAgent(join(directory, 'main.ts')))
  assert.equal(bundles[0], bundles[1])
  assert.match(bundles[0]!, /unbuilt/)
  assert.doesNotMatch(bundles[0]!, /import\b/)
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

/** A bridge in a network namespace of its own: the host's network is left alone. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { tapName } from './tap.ts'

const run = promisify(execFile)
const canUnshare = await run('unshare', ['--net', 'true']).then(
  () => true,
  () => false,
)
const skip = !canUnshare && 'needs the right to make a network namespace'

const SCRIPT = `
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, readlinkSync } from 'node:fs'
import { makeTap, removeTap } from '${import.meta.dirname}/tap.ts'
execFileSync('mount', ['-t', 'sysfs', 'sysfs', '/sys'])
const code = (promise) => promise.then(() => undefined, (error) => error.code)
const seen = {}
seen.missing = await code(makeTap('clotest', 'br-test', 4711))
execFileSync('ip', ['link', 'add', 'br-test', 'type', 'bridge'])
await makeTap('clotest', 'br-test', 4711)
seen.owner = readFileSync('/sys/class/net/clotest/owner', 'utf8').trim()
seen.master = readlinkSync('/sys/class/net/clotest/master').split('/').at(-1)
// One that was left is replaced.
await makeTap('clotest', 'br-test', 4712)
seen.newOwner = readFileSync('/sys/class/net/clotest/owner', 'utf8').trim()
await removeTap('clotest')
seen.isLeft = existsSync('/sys/class/net/clotest')
await removeTap('clotest')
seen.noBridge = await code(makeTap('clotest', 'lo', 4711))
console.log(JSON.stringify(seen))
`

test('a tap is made on the bridge for one uid, and removed', { skip }, async () => {
  const { stdout } = await run('unshare', [
    '--net',
    '--mount',
    process.execPath,
    '--input-type=module',
    '--eval',
    SCRIPT,
  ])
  assert.deepEqual(JSON.parse(stdout), {
    missing: 'network.bridge-missing',
    owner: '4711',
    master: 'br-test',
    newOwner: '4712',
    isLeft: false,
    noBridge: 'network.bridge-missing',
  })
})

test('tapName() is short and differs by directory', () => {
  assert.match(tapName('/run/a'), /^clo[0-9a-f]{12}$/)
  assert.notEqual(tapName('/run/a'), tapName('/run/b'))
})

import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { runCloister } from '../testing/run-cloister.ts'

const BOOTS = join(import.meta.dirname, '../../../verifier/test/boots')
const home = mkdtempSync(join(tmpdir(), 'cloister-measure-'))
after(() => {
  rmSync(home, { recursive: true, force: true })
})

const measure = async (...words: string[]) => await runCloister(['measure', ...words], { home })

const boot = (name: string) => join(BOOTS, `${name}.bin`)

test('measure LOG lists the registers, and --explain each event with the value after it', async () => {
  const registers = JSON.parse((await measure(boot('first'), '-o', 'json')).out)
  assert.equal(registers.length, 11)
  assert.deepEqual(Object.keys(registers[0]), ['register', 'bank', 'value', 'events'])
  const events = JSON.parse((await measure(boot('first'), '--explain', '-o', 'json')).out)
  assert.equal(events.length, 53)
  assert.deepEqual(Object.keys(events[0]), [
    'number',
    'register',
    'event',
    'component',
    'description',
    'isMeasured',
    'digest',
    'value',
  ])
  const last = (register: string) =>
    events.findLast((event: { register: string }) => event.register === register).value
  for (const { register, value } of registers) assert.equal(value, last(register))
  const table = (await measure(boot('first'), '--explain', '--bank', 'sha384')).out
  assert.match(table, /\(shim: \\EFI\\BOOT\\BOOTX64\.EFI\) {2}/)
  assert.match(table, / {2}Secure Boot is on {2}/)
})

test('measure --diff of two logs names the first event in which each register parts', async () => {
  const { code, out } = await measure('--diff', boot('first'), boot('command-line'), '-o', 'json')
  assert.equal(code, 0)
  const [, , command] = JSON.parse(out)
  assert.deepEqual(Object.keys(command), [
    'register',
    'kind',
    'component',
    'event',
    'a',
    'b',
    'cause',
    'more',
  ])
  assert.equal(command.cause, `GRUB's command differs: only B has "init=/bin/sh"`)
  const same = await measure('--diff', boot('first'), boot('first'), '-o', 'json')
  assert.deepEqual(JSON.parse(same.out), [])
  assert.match(same.talk, /same sha256 values/)
})

test('what is no log, a bank that it lacks, and a log beside an image are told apart', async () => {
  const codeOf = async (...words: string[]) => {
    const { code, talk } = await measure(...words)
    return [code, /error (?<code>\S+)/.exec(talk)?.groups?.['code']]
  }
  assert.deepEqual(await codeOf(import.meta.filename), [2, 'evidence.malformed'])
  assert.deepEqual(await codeOf(boot('first'), '--bank', 'sha1'), [2, 'evidence.malformed'])
  assert.deepEqual(await codeOf(boot('first'), '--bank', 'md5'), [6, 'cli.usage'])
  assert.deepEqual(await codeOf('--diff', boot('first'), 'base'), [6, 'cli.usage'])
})

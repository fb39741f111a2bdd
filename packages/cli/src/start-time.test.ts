/** What a command must not load before it has something to do with it. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { test } from 'node:test'

test("run does not load Node's fetch, and has schemas interpreted", () => {
  const code = `
    const { loadCommand } = await import(${JSON.stringify(import.meta.resolve('./command-table.ts'))})
    await loadCommand({ name: 'run', words: 1 })
    const { config } = await import('zod')
    console.log(JSON.stringify({
      undici: process.moduleLoadList.filter((name) => name.includes('undici/undici')),
      isJitless: config().jitless,
    }))`
  const said = execFileSync(process.execPath, ['--input-type=module', '-e', code], {
    encoding: 'utf8',
    cwd: import.meta.dirname,
  })
  assert.deepEqual(JSON.parse(said), { undici: [], isJitless: true })
})

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { after, before, test } from 'node:test'
import { chromium } from 'playwright-core'
import type { Browser } from 'playwright-core'
import { rolldown } from 'rolldown'
import { WITH_VECTORS, vectorPath } from '../../packages/verifier/src/testing/vectors.ts'
import { findTool, missingTools } from '../interop/tools.ts'

// The verifier's unit tests, and the example of its README from the packed tarball, in Chromium on WebCrypto.

const ROOT = resolve(import.meta.dirname, '../../packages/verifier')
const STAND_INS = join(import.meta.dirname, 'browser')
const SKIP = { skip: missingTools('chromium') || WITH_VECTORS.skip }
/** Sweeps of bits ask one question ten thousand times; they run in Node. */
const SWEEPS = /changed bit|every bit/
const NEEDS_NODE = /\bBuffer\b|\bprocess\b|\bmock\b/

const folder = mkdtempSync(join(tmpdir(), 'cloister-browser-'))
const pages = new Map<string, string>()
const server = createServer((request, response) => {
  const path = new URL(request.url ?? '/', 'http://localhost').pathname
  const page = pages.get(path)
  try {
    const sample = path.startsWith('/vectors/') && !path.includes('..')
    const body = sample ? readFileSync(vectorPath(path.slice('/vectors/'.length))) : page
    response.statusCode = body === undefined ? 404 : 200
    response.setHeader('content-type', path.endsWith('.js') ? 'text/javascript' : 'text/html')
    response.end(body)
  } catch {
    response.statusCode = 404
    response.end()
  }
})
let browser: Browser | undefined

before(async () => {
  if (SKIP.skip !== false) return
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  browser = await chromium.launch({
    executablePath: findTool('chromium') ?? '',
    args: ['--no-sandbox', '--disable-gpu'],
  })
})

after(async () => {
  await browser?.close()
  server.close()
  rmSync(folder, { recursive: true, force: true })
})

test('unit tests that need nothing of Node pass in Chromium', SKIP, async () => {
  const passed: string[] = []
  const failed: string[] = []
  for (const file of globSync('src/**/*.test.ts', { cwd: ROOT }).sort()) {
    const code = await bundleTest(join(ROOT, file))
    if (code === undefined) continue
    for (const { name, problem } of await runPage(file, code))
      if (problem === undefined) passed.push(name)
      else failed.push(`${file}: ${name}: ${problem}`)
  }
  assert.deepEqual(failed, [])
  assert.ok(passed.length >= 95, `${passed.length} passed`)
})

test('the example of the README runs in Chromium from the packed package', SKIP, async () => {
  const tarball = execFileSync('node', [join(ROOT, 'scripts/pack.ts'), folder], {
    encoding: 'utf8',
  }).trim()
  const project = join(folder, 'project')
  mkdirSync(project)
  writeFileSync(join(project, 'package.json'), '{"type":"module","private":true}')
  const install = ['install', '--offline', '--no-audit', '--no-fund', tarball]
  execFileSync('npm', install, { cwd: project, stdio: 'ignore' })
  const readme = readFileSync(join(ROOT, 'README.md'), 'utf8')
  const example = /```js\n([\s\S]*?)```/.exec(readme)?.[1] ?? ''
  // A page has no files: the two samples come from its server.
  const lines = example
    .replace(/^import \{ readFileSync \}.*$/m, '')
    .replaceAll(/readFileSync\('(.+?)'\)/g, "await load('$1')")
  const load = `const load = async (name) => new Uint8Array(await (await fetch('/vectors/snp/genoa-v5/' + name)).arrayBuffer())`
  const entry = join(project, 'page.js')
  writeFileSync(entry, `${load}\n${lines}\n`)
  const code = await bundle(entry)
  assert.doesNotMatch(code, /node:/)
  pages.set('/example.js', code)
  pages.set('/example', '<!doctype html><script type="module" src="/example.js"></script>')
  const page = await (browser as Browser).newPage()
  const said = page.waitForEvent('console')
  await page.goto(address('/example'))
  assert.equal((await said).text(), 'affirming []')
  await page.close()
})

/** Undefined for a test that needs something of Node. */
async function bundleTest(file: string): Promise<string | undefined> {
  if (NEEDS_NODE.test(readFileSync(file, 'utf8'))) return undefined
  const entry = join(folder, 'entry.ts')
  const registry = join(STAND_INS, 'node-test.ts')
  writeFileSync(
    entry,
    `import ${JSON.stringify(file)}
import { registered } from ${JSON.stringify(registry)}
globalThis.registered = registered
`,
  )
  const code = await bundle(entry)
  return /from"node:|from "node:/.test(code) ? undefined : code
}

async function bundle(input: string): Promise<string> {
  const made = await rolldown({
    input,
    platform: 'browser',
    external: /^node:(?!test$|assert)/,
    logLevel: 'silent',
    resolve: { conditionNames: ['browser', 'import', 'default'] },
    plugins: [
      {
        name: 'stand-ins',
        resolveId: (id) => {
          if (id === 'node:test') return join(STAND_INS, 'node-test.ts')
          if (id === 'node:assert/strict') return join(STAND_INS, 'node-assert.ts')
          if (id.endsWith('/testing/vectors.ts')) return join(STAND_INS, 'vectors.ts')
          // The package says that importing does nothing, which is not so for its tests.
          return id.endsWith('.test.ts') ? { id, moduleSideEffects: true } : null
        },
      },
    ],
  })
  const { output } = await made.generate({ format: 'esm', codeSplitting: false })
  await made.close()
  return output[0].code
}

interface Outcome {
  readonly name: string
  readonly problem?: string
}

async function runPage(name: string, code: string): Promise<readonly Outcome[]> {
  pages.set(`/${name}.js`, code)
  pages.set(`/${name}`, '<!doctype html>')
  const page = await (browser as Browser).newPage()
  await page.goto(address(`/${name}`))
  const outcomes = await page.evaluate(
    async ({ script, sweeps }) => {
      await import(script)
      const { registered } = globalThis as unknown as {
        registered: { name: string; body: (context: unknown) => unknown }[]
      }
      const all: { name: string; problem?: string }[] = []
      for (const { name: title, body } of registered) {
        if (new RegExp(sweeps).test(title)) continue
        try {
          await body({})
          all.push({ name: title })
        } catch (error) {
          all.push({ name: title, problem: String(error).slice(0, 500) })
        }
      }
      return all
    },
    { script: `/${name}.js`, sweeps: SWEEPS.source },
  )
  await page.close()
  return outcomes
}

function address(path: string): string {
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}${path}`
}

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative, resolve } from 'node:path'
import { gzipSync } from 'node:zlib'
import { after, test } from 'node:test'
import { rolldown } from 'rolldown'
import { WITH_VECTORS, vectorPath } from '../src/testing/vectors.ts'

const ROOT = resolve(import.meta.dirname, '..')
const folder = mkdtempSync(join(tmpdir(), 'cloister-verifier-'))
after(() => rmSync(folder, { recursive: true, force: true }))

const EXAMPLE = exampleOf('README.md')
const EAR_EXAMPLE = exampleOf('../../docs/reference/ear.md')
const MAX_SNP_BUNDLE = 40 * 1024

function exampleOf(page: string): string {
  return /```js\n([\s\S]*?)```/.exec(readFileSync(join(ROOT, page), 'utf8'))?.[1] ?? ''
}

function run(command: string, args: readonly string[], cwd: string): string {
  return execFileSync(command, args, { cwd, encoding: 'utf8' })
}

test(
  'the packed package, installed in an empty folder, runs the example of the README',
  WITH_VECTORS,
  () => {
    const tarball = run('node', [join(ROOT, 'scripts/pack.ts'), folder], ROOT).trim()
    const project = join(folder, 'project')
    run('mkdir', [project], folder)
    writeFileSync(join(project, 'package.json'), '{"type":"module","private":true}')
    run('npm', ['install', '--offline', '--no-audit', '--no-fund', tarball], project)
    run(
      'cp',
      [vectorPath('snp/genoa-v5/report.bin'), vectorPath('snp/genoa-v5/vcek.der'), project],
      folder,
    )
    writeFileSync(join(project, 'example.js'), EXAMPLE)
    assert.equal(run('node', ['example.js'], project), 'affirming []\n')
    writeFileSync(join(project, 'ear.js'), EAR_EXAMPLE)
    assert.equal(run('node', ['ear.js'], project), 'affirming\n')
    // The same as TypeScript, against the types of the package.
    writeFileSync(join(project, 'example.ts'), EXAMPLE)
    // Every name under which something can be imported is there, with types that need none of Node's.
    const names = subpaths(join(project, 'node_modules/@cloister/verifier'))
    assert.ok(names.length > 200, `${names.length} subpaths`)
    writeFileSync(
      join(project, 'import-all.js'),
      `for (const name of ${JSON.stringify(names)}) await import(name)`,
    )
    assert.equal(run('node', ['import-all.js'], project), '')
    writeFileSync(
      join(project, 'everything.ts'),
      names
        .filter((name) => !name.includes('/node/'))
        .map((name, index) => `export * as part${index} from '${name}'`)
        .join('\n'),
    )
    for (const [module, resolution] of [
      ['nodenext', 'nodenext'],
      ['preserve', 'bundler'],
    ] as const) {
      compile(project, 'example.ts', module, resolution, ['node'])
      compile(project, 'everything.ts', module, resolution, [])
    }
  },
)

/** Type-checks one file as strictly as TypeScript can. */
function compile(
  project: string,
  file: string,
  module: string,
  resolution: string,
  types: readonly string[],
): void {
  const root = join(ROOT, '../../node_modules')
  const options = `--noEmit --strict --exactOptionalPropertyTypes --noUncheckedIndexedAccess
    --target es2024 --lib es2024,dom --module ${module} --moduleResolution ${resolution}`
  const only = ['--typeRoots', join(root, '@types'), '--types', types.join()]
  run(join(root, '.bin/tsc'), [...options.trim().split(/\s+/), ...only, file], project)
}

/** All names that the `exports` of an installed package offer. */
function subpaths(directory: string): string[] {
  const { name, exports } = JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8')) as {
    name: string
    exports: Record<string, { default: string } | null>
  }
  const hidden = new Set(Object.keys(exports).filter((path) => exports[path] === null))
  return Object.entries(exports)
    .flatMap(([path, target]) => {
      if (target === null) return []
      if (!path.endsWith('/*')) return [path]
      const files = readdirSync(join(directory, target.default.replace('*.js', '')))
      return files
        .filter((file) => file.endsWith('.js'))
        .map((file) => path.replace('*', file.slice(0, -'.js'.length)))
    })
    .filter((path) => !hidden.has(path))
    .map((path) => `${name}${path.slice(1)}`)
}

test(
  'the SNP path bundled for browsers is small and works on WebCrypto alone',
  WITH_VECTORS,
  async () => {
    const entry = join(folder, 'entry.ts')
    writeFileSync(
      entry,
      `export { appraiseSnp } from ${JSON.stringify(join(ROOT, 'src/snp/appraise.ts'))}\n`,
    )
    const bundle = await rolldown({
      input: entry,
      platform: 'browser',
      resolve: { conditionNames: ['browser', 'import', 'default'] },
    })
    const { output } = await bundle.generate({ format: 'esm', minify: true })
    await bundle.close()
    const { code } = output[0]
    assert.doesNotMatch(code, /node:/)
    const size = gzipSync(code, { level: 9 }).length
    assert.ok(size < MAX_SNP_BUNDLE, `${size} bytes compressed`)
    const file = join(folder, 'bundle.mjs')
    writeFileSync(file, code)
    const { appraiseSnp } = (await import(file)) as typeof import('../src/snp/appraise.ts')
    const read = (path: string) => new Uint8Array(readFileSync(vectorPath(path)))
    const options = {
      expect: { measurement: 'any', reportData: 'any', hostData: 'any' },
      now: new Date('2026-06-01'),
      endorsements: { certificates: [read('snp/genoa-v5/vcek.der')] },
    } as const
    assert.equal((await appraiseSnp(read('snp/genoa-v5/report.bin'), options)).status, 'affirming')
    const bad = await appraiseSnp(read('snp/tampered/snp-v5-genoa-reportdata-flip.bin'), options)
    assert.deepEqual(bad.status === 'contraindicated' && bad.reasons, ['snp.signature.invalid'])
  },
)

test('the fetchers bundled for browsers need nothing of Node, and the SNP path needs nothing of them', async () => {
  const bundled = async (name: string, source: string) => {
    const entry = join(folder, `${name}.ts`)
    writeFileSync(entry, source)
    const bundle = await rolldown({
      input: entry,
      platform: 'browser',
      resolve: { conditionNames: ['browser', 'import', 'default'] },
    })
    const { output } = await bundle.generate({ format: 'esm' })
    await bundle.close()
    return { code: output[0].code, modules: output[0].moduleIds }
  }
  const from = (path: string) => JSON.stringify(join(ROOT, 'src', path))
  const fetchers = await bundled(
    'fetchers',
    `export { fetchBundle } from ${from('fetch/fetch-bundle.ts')}
export { EndorsementClient } from ${from('fetch/endorsement-client.ts')}
export { EndorsementFetchError } from ${from('fetch/fetch-error.ts')}\n`,
  )
  assert.doesNotMatch(fetchers.code, /node:/)
  const file = join(folder, 'fetchers.mjs')
  writeFileSync(file, fetchers.code)
  const { fetchBundle, EndorsementClient } = (await import(file)) as Pick<
    typeof import('../src/fetch/fetch-bundle.ts') &
      typeof import('../src/fetch/endorsement-client.ts'),
    'fetchBundle' | 'EndorsementClient'
  >
  const client = new EndorsementClient({ fetch: async () => new Response(null, { status: 404 }) })
  await assert.rejects(
    fetchBundle('snp', new Uint8Array(4), { client }),
    ({ code }: { code?: string }) => code === 'fetch.subject-unknown',
  )
  const core = await bundled('core', `export * from ${from('snp/appraise.ts')}\n`)
  const ours = join(ROOT, 'src/')
  const paths = core.modules.filter((id) => id.startsWith(ours)).map((id) => relative(ours, id))
  const used = [...new Set(paths.map((path) => path.replace(/\/.*/, '')))].sort()
  // Nothing of another TEE, of fetching, or of the pages that explain checks.
  assert.deepEqual(used, ['bytes', 'crypto', 'formats', 'result', 'snp'])
})

/**
 * `npm run pack -w packages/verifier [FOLDER]`: stages what is published, JavaScript with types and no test code, in FOLDER (`dist`)
 * and makes the tarball there. Prints the tarball's path.
 */
import { execFileSync } from 'node:child_process'
import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'

const ROOT = resolve(import.meta.dirname, '..')
const stage = resolve(process.argv[2] ?? join(ROOT, 'dist'), 'package')

rmSync(stage, { recursive: true, force: true })
mkdirSync(stage, { recursive: true })
compile()
writeFileSync(join(stage, 'package.json'), `${JSON.stringify(publishedManifest(), null, 2)}\n`)
copyFileSync(join(ROOT, 'README.md'), join(stage, 'README.md'))
copyFileSync(join(ROOT, '../../LICENSE'), join(stage, 'LICENSE'))
const tarball = execFileSync(
  'npm',
  ['pack', '--silent', '--pack-destination', resolve(stage, '..')],
  {
    cwd: stage,
    encoding: 'utf8',
  },
).trim()
console.log(resolve(stage, '..', tarball))

/** TypeScript's own emit: one JavaScript and one type file for each source file. */
function compile(): void {
  const project = join(stage, '..', 'tsconfig.pack.json')
  writeFileSync(
    project,
    JSON.stringify({
      extends: join(ROOT, '../../tsconfig.json'),
      compilerOptions: {
        noEmit: false,
        declaration: true,
        rewriteRelativeImportExtensions: true,
        rootDir: join(ROOT, 'src'),
        outDir: stage,
        typeRoots: [join(ROOT, '../../node_modules/@types')],
      },
      include: [join(ROOT, 'src')],
      exclude: [join(ROOT, 'src/**/*.test.ts'), join(ROOT, 'src/testing')],
    }),
  )
  const tsc = join(ROOT, '../../node_modules/.bin/tsc')
  execFileSync(tsc, ['-p', project], { stdio: ['ignore', 'inherit', 'inherit'] })
  rmSync(project)
}

/** `./src/x.ts` becomes `./x.js` with its types; scripts and test modules are left out. */
function publishedManifest(): Record<string, unknown> {
  const {
    scripts: _scripts,
    devDependencies: _dev,
    exports,
    imports,
    ...rest
  } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
    scripts: unknown
    devDependencies: unknown
    exports: Record<string, string | null>
    imports: Record<string, Record<string, string>>
  }
  const built = (path: string, ending: string) =>
    path.replace('./src/', './').replace(/\.ts$/, ending)
  const published = Object.entries(exports)
    .filter(([name]) => !name.startsWith('./testing/'))
    .map(([name, path]) => [
      name,
      path && { types: built(path, '.d.ts'), default: built(path, '.js') },
    ])
  const conditions = Object.entries(imports).map(([name, targets]) => [
    name,
    Object.fromEntries(Object.entries(targets).map(([when, path]) => [when, built(path, '.js')])),
  ])
  return {
    ...rest,
    exports: Object.fromEntries(published) as unknown,
    imports: Object.fromEntries(conditions) as unknown,
  }
}

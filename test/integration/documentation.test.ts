/** The pages of `docs/`: complete, and reachable. That those made from the code are what the code says is tested beside it. */
import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { test } from 'node:test'
import { EVIDENCE_TEES } from '@cloister/cli/evidence/tees'
import { CHECK_CODES } from '@cloister/verifier/checks/catalogue'

const ROOT = join(import.meta.dirname, '../..')
const PAGES = [
  'README.md',
  'packages/verifier/README.md',
  ...['docs', 'dev-docs'].flatMap((folder) =>
    readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
      .filter((path) => path.endsWith('.md'))
      .map((path) => join(folder, path)),
  ),
]
/** By the page whose heading names it. */
const PAGE_OF_TEE: Readonly<Record<string, string>> = {
  'az-snp': 'azure',
  'az-tdx': 'azure',
}

test('each TEE whose evidence is judged has its page', () => {
  for (const tee of Object.keys(EVIDENCE_TEES)) {
    const page = join(ROOT, 'docs/reference', `evidence-${PAGE_OF_TEE[tee] ?? tee}.md`)
    assert.ok(existsSync(page), page)
    const name = tee.startsWith('az-') ? 'azure' : tee === 'cca' ? 'Arm CCA' : tee
    const heading = readFileSync(page, 'utf8').split('\n', 1)[0] ?? ''
    const words = NAMES[name] ?? name
    assert.ok(heading.toLowerCase().includes(words.toLowerCase()), `${heading} names ${words}`)
  }
})

const NAMES: Readonly<Record<string, string>> = { se: 'Secure Execution' }

test('each check code has its section', () => {
  const page = read('docs/reference/checks.md')
  const sections = new Set(page.match(/^#+ `[^`]+`$/gm)?.map((line) => line.split('`')[1]))
  for (const code of CHECK_CODES) assert.ok(sections.has(code), code)
})

test('every page of docs/ is linked from its index', () => {
  const linked = new Set(linksOf('docs/README.md').map(({ path }) => path))
  const pages = PAGES.filter((page) => page.startsWith('docs/') && page !== 'docs/README.md')
  assert.deepEqual(
    pages.filter((page) => !linked.has(page)),
    [],
  )
  assert.ok(linksOf('README.md').some(({ path }) => path === 'docs/README.md'))
})

test('links lead to files and headings that are there', () => {
  const broken = PAGES.flatMap((page) =>
    linksOf(page)
      .filter(({ path, anchor }) => !isThere(path, anchor))
      .map(({ path, anchor }) => `${page}: ${path}${anchor === undefined ? '' : `#${anchor}`}`),
  )
  assert.deepEqual(broken, [])
})

interface Link {
  /** From the root of the repository. */
  readonly path: string
  readonly anchor: string | undefined
}

/** Those to files of the repository. */
function linksOf(page: string): Link[] {
  return Array.from(withoutCode(read(page)).matchAll(/\]\((?<to>[^)\s]+)\)/g), ({ groups }) => {
    const [path = '', anchor] = (groups?.['to'] ?? '').split('#')
    return { path, anchor }
  })
    .filter(({ path }) => !/^[a-z]+:/.test(path))
    .map(({ path, anchor }) => ({
      path: path === '' ? page : relative(ROOT, join(ROOT, dirname(page), path)),
      anchor,
    }))
}

function isThere(path: string, anchor: string | undefined): boolean {
  if (!existsSync(join(ROOT, path))) return false
  return anchor === undefined || anchorsOf(path).has(anchor)
}

/** As GitHub makes them of headings. */
function anchorsOf(path: string): ReadonlySet<string> {
  const headings = read(path).match(/^#{1,6} .*$/gm) ?? []
  return new Set(
    headings.map((line) =>
      line
        .replace(/^#+ /, '')
        .toLowerCase()
        .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
        .replaceAll(' ', '-'),
    ),
  )
}

function withoutCode(text: string): string {
  return text.replaceAll(/```[^]*?```/g, '').replaceAll(/`[^`\n]*`/g, '')
}

function read(path: string): string {
  return readFileSync(join(ROOT, path), 'utf8')
}

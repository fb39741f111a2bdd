/** Every `cloister …` in the pages and in the fixes of errors is a command line that the program takes. */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { parseCommandLine } from '@cloister/cli/command-line'
import { findCommand, isGroup, loadCommand } from '@cloister/cli/command-table'
import { CloisterError } from '@cloister/protocol/error'
import { ERROR_CODES } from '@cloister/protocol/errors/catalogue'

const ROOT = join(import.meta.dirname, '../..')
const PAGES = [
  'README.md',
  'SECURITY.md',
  'packages/verifier/README.md',
  ...readdirSync(join(ROOT, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.md') && path !== 'reference/cli.md')
    .map((path) => join('docs', path)),
]

test('commands in blocks of the pages can be typed as they stand', async () => {
  const refused: string[] = []
  let seen = 0
  for (const page of PAGES)
    for (const words of blocksOf(page).flatMap(commandsIn)) {
      seen++
      const problem = await problemOf(words, true)
      if (problem !== undefined) refused.push(`${page}: ${words.join(' ')}: ${problem}`)
    }
  assert.deepEqual(refused, [])
  assert.ok(seen > 50, `only ${seen} commands were found`)
})

test('commands that the text and the fixes of errors name are there, with their options', async () => {
  const refused: string[] = []
  const named = [
    ...PAGES.flatMap((page) => inlineOf(page).map((text) => [page, text] as const)),
    ...Object.entries(ERROR_CODES).flatMap(([code, { fix }]) =>
      fix.filter((text) => text.startsWith('cloister ')).map((text) => [code, text] as const),
    ),
  ]
  for (const [where, text] of named)
    for (const words of commandsIn(text)) {
      const problem = await problemOf(words, false)
      if (problem !== undefined) refused.push(`${where}: ${text}: ${problem}`)
    }
  assert.deepEqual(refused, [])
  assert.ok(named.length > 200, `only ${named.length} were found`)
})

/** Why the program would not take the words; undefined when it would. */
async function problemOf(words: readonly string[], isWhole: boolean): Promise<string | undefined> {
  if (['help', '--version', '--help'].includes(words[0] ?? '--help')) return undefined
  if (words.length === 1 && isGroup(words[0] ?? '')) return undefined
  try {
    const found = findCommand(words)
    const rest = words.slice(found.words).filter((word) => word !== '…')
    parseCommandLine(found, await loadCommand(found), rest)
    return undefined
  } catch (error) {
    if (!(error instanceof CloisterError)) throw error
    const { why = error.code } = error.details
    // Text names a command without its arguments.
    return / is missing$|argument missing$/.test(why) && !isWhole ? undefined : why
  }
}

/** The words of each command of ours in a script, up to a pipe, another command, a redirection or a comment. */
function commandsIn(script: string): string[][] {
  return script
    .replaceAll(/\\\n\s*/g, ' ')
    .split('\n')
    .flatMap((line) => line.split(/ (?:\||&&|;) /))
    .map((line) => line.trim().replace(/^(?:sudo|\$) /, ''))
    .filter((line) => /^(?:\.\/)?cloister /.test(line))
    .map((line) =>
      line
        .replace(/ +#.*$/, '')
        .replaceAll(/\[[^\]]*\]/g, '')
        .replace(/ >.*$/, '')
        // A fix may go on with words of its own.
        .replace(/[,(].*$| (?:shows|with|first|once)\b.*$/, ''),
    )
    .map((line) => wordsOf(line).slice(1))
}

/** As a shell splits them. */
function wordsOf(line: string): string[] {
  return Array.from(line.matchAll(/(?:'[^']*'|"[^"]*"|[^\s'"])+/g), ([word]) =>
    word.replaceAll(/['"]/g, ''),
  )
}

function blocksOf(page: string): string[] {
  const text = readFileSync(join(ROOT, page), 'utf8')
  return Array.from(
    text.matchAll(/^ *```(?:sh|console)?\n([^]*?)^ *```/gm),
    ([, block = '']) => block,
  )
}

function inlineOf(page: string): string[] {
  const text = readFileSync(join(ROOT, page), 'utf8').replaceAll(/^ *```[^]*?^ *```/gm, '')
  return Array.from(text.matchAll(/`((?:\.\/)?cloister [^`\n]+)`/g), ([, command = '']) => command)
}

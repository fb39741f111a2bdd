/** Prints docs/reference/checks.md from the tables of codes; a test compares the two. `node packages/verifier/scripts/checks-page.ts > docs/reference/checks.md` */
import { CHECK_SECTIONS, explainCheck, isCheckCode } from '../src/checks/catalogue.ts'

const HEAD = `# Checks of Evidence

Each appraisal lists what was looked at. A check has a stable code that names the failure it guards against, so \`pass\` means that this failure is
absent. Outcomes:

| outcome | meaning | status of the appraisal |
| --- | --- | --- |
| \`pass\` | the failure is absent | |
| \`warning\` | acceptable, with a known weakness | at best \`warning\` |
| \`undecided\` | cannot be judged: an endorsement is missing or out of date | at best \`none\` |
| \`fail\` | refused | \`contraindicated\` |
| \`not-checked\` | nobody looked, because the caller said \`'any'\` or set no such policy | unchanged |

\`expected\`, \`received\` and \`where\` (a byte range or a component) tell more. \`cloister explain CODE\` prints one. Codes never change their meaning; new ones are added.
`

export function checksPage(): string {
  return [HEAD, ...CHECK_SECTIONS.map(([title, codes]) => section(title, Object.keys(codes)))].join(
    '\n',
  )
}

/** A heading for each code, so that it can be linked to. */
function section(title: string, codes: readonly string[]): string {
  const entries = codes.filter(isCheckCode).map((code) => {
    const { meaning, cause, fix } = explainCheck(code)
    return `### \`${code}\`\n\n${meaning}.\n\n- Cause: ${cause}.\n- Fix: ${fix}.\n`
  })
  return `## ${title}\n\n${entries.join('\n')}`
}

if (import.meta.main) process.stdout.write(checksPage())

/** Prints docs/reference/checks.md from the tables of codes; a test compares the two. `node packages/verifier/scripts/checks-page.ts > docs/reference/checks.md` */
import { CCA_CHECKS } from '../src/cca/check-codes.ts'
import { AZURE_CHECKS } from '../src/azure/check-codes.ts'
import { DCAP_CHECKS } from '../src/dcap/check-codes.ts'
import { NITRO_CHECKS } from '../src/nitro/check-codes.ts'
import { NVIDIA_CHECKS } from '../src/nvidia/check-codes.ts'
import { SE_CHECKS } from '../src/se/check-codes.ts'
import { SGX_CHECKS } from '../src/sgx/check-codes.ts'
import { SNP_CHECKS } from '../src/snp/check-codes.ts'
import { TDX_CHECKS } from '../src/tdx/check-codes.ts'
import { TPM_CHECKS } from '../src/tpm/check-codes.ts'
import { FIXES } from './check-fixes.ts'

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

\`expected\`, \`received\` and \`where\` (a byte range or a component) tell more. Codes never change their meaning; new ones are added.
`

export function checksPage(): string {
  const own = (table: Readonly<Record<string, string>>) =>
    Object.entries(table).filter(([code]) => !(code in DCAP_CHECKS))
  return [
    HEAD,
    section('AMD SEV-SNP', Object.entries(SNP_CHECKS)),
    section('Intel TDX and SGX: quotes and collateral', Object.entries(DCAP_CHECKS)),
    section('Intel TDX', own(TDX_CHECKS)),
    section('Intel SGX', own(SGX_CHECKS)),
    section('TPM 2.0 and event logs', Object.entries(TPM_CHECKS)),
    section('Azure confidential VMs', Object.entries(AZURE_CHECKS)),
    section('AWS Nitro Enclaves', Object.entries(NITRO_CHECKS)),
    section('Arm CCA', Object.entries(CCA_CHECKS)),
    section('NVIDIA GPUs and switches', Object.entries(NVIDIA_CHECKS)),
    section('IBM Secure Execution', Object.entries(SE_CHECKS)),
  ].join('\n')
}

function section(title: string, codes: readonly (readonly [string, string])[]): string {
  const rows = codes.map(([code, meaning]) => `| \`${code}\` | ${meaning} | ${fixOf(code)} |`)
  return `## ${title}\n\n| code | says | what to do |\n| --- | --- | --- |\n${rows.join('\n')}\n`
}

/** The longest prefix of the code that has an advice. */
function fixOf(code: string): string {
  const parts = code.split('.')
  for (let length = parts.length; length > 0; length--) {
    const fix = FIXES[parts.slice(0, length).join('.')]
    if (fix !== undefined) return fix
  }
  throw new TypeError(`no advice for ${code}`)
}

if (import.meta.main) process.stdout.write(checksPage())

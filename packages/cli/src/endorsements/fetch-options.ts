/** Options of commands that ask the vendors' services, and what they mean to the fetchers. */
import { CloisterError } from '@cloister/protocol/error'
import type { FetchBundleOptions } from '@cloister/verifier/fetch/fetch-bundle'
import { PRODUCT_LINES, type ProductLine } from '@cloister/verifier/snp/product'
import { textOption, type CommandLine, type OptionSpec } from '../command.ts'

export const FETCH_OPTIONS = {
  kds: { type: 'string', value: 'URL', help: "AMD's service or a mirror of it" },
  pcs: { type: 'string', value: 'URL', help: "Intel's service, a PCCS or a mirror of it" },
  rim: { type: 'string', value: 'URL', help: "NVIDIA's RIM service or a mirror of it" },
  ocsp: { type: 'string', value: 'URL', help: "NVIDIA's OCSP responder" },
  update: {
    type: 'string',
    value: 'standard|early',
    help: "which of Intel's TCB recoveries; early shows what will fail soon",
  },
  line: {
    type: 'string',
    value: 'LINE',
    help: `product line of an SNP report of version 2: ${PRODUCT_LINES.join(', ')}`,
  },
} as const satisfies Readonly<Record<string, OptionSpec>>

/** Intel's subscription key is a credential, so it comes from the environment. @throws CloisterError `cli.usage` */
export function fetchOptions(
  line: CommandLine,
): Pick<FetchBundleOptions, 'kds' | 'pcs' | 'nvidia'> {
  const update = textOption(line, 'update')
  if (update !== undefined && update !== 'standard' && update !== 'early')
    throw usage('--update', 'standard or early', update)
  const subscriptionKey = process.env['CLOISTER_PCS_KEY']
  const pcs = address(line, 'pcs')
  const kds = address(line, 'kds')
  const rim = address(line, 'rim')
  const ocsp = address(line, 'ocsp')
  const product = productLine(textOption(line, 'line'))
  return {
    kds: {
      ...(kds !== undefined && { address: kds }),
      ...(product !== undefined && { line: product }),
    },
    pcs: {
      ...(pcs !== undefined && { address: pcs }),
      ...(update !== undefined && { update }),
      ...(subscriptionKey !== undefined && { subscriptionKey }),
    },
    nvidia: {
      ...(rim !== undefined && { address: rim }),
      ...(ocsp !== undefined && { ocspAddress: ocsp }),
    },
  }
}

function address(line: CommandLine, name: 'kds' | 'pcs' | 'rim' | 'ocsp'): string | undefined {
  const text = textOption(line, name)
  if (text === undefined) return undefined
  if (!URL.canParse(text) || /[?#]/.test(text))
    throw usage(`--${name}`, 'an address such as https://HOST', text)
  return text.replace(/\/+$/, '')
}

function productLine(text: string | undefined): ProductLine | undefined {
  if (text === undefined) return undefined
  const found = PRODUCT_LINES.find((name) => name.toLowerCase() === text.toLowerCase())
  if (found === undefined) throw usage('--line', PRODUCT_LINES.join(', '), text)
  return found
}

function usage(option: string, expected: string, received: string): CloisterError {
  const why = `${option} is malformed`
  return new CloisterError('cli.usage', { why, expected, received: received.slice(0, 80) })
}

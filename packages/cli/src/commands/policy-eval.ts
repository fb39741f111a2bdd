import { compile, RegoError, type Policy } from '@cloister/rego'
import { errorText, opaEval } from '@cloister/rego/opa-eval'
import { explanationText } from '@cloister/rego/explain'
import { fromYaml } from '../rego/read-data.ts'
import { listOption, textOption, type Command, type Invocation } from '../command.ts'
import { loadModules, parseJsonFile } from '../rego/load-modules.ts'
import { printText } from '../print-text.ts'
import { readInput } from '../read-input.ts'

export const command: Command = {
  usage: 'policy eval -d FILE… [-i INPUT] [--data DATA] QUERY [--explain] [--v0]',
  details:
    'Prints the JSON of `opa eval`; with --explain, why, as a tree: the rules tried, what failed first in each with the values it saw, and the closest rule.',
  options: {
    policy: {
      type: 'string',
      short: 'd',
      multiple: true,
      value: 'FILE',
      help: 'Rego module, or a folder of them',
    },
    input: {
      type: 'string',
      short: 'i',
      value: 'FILE',
      help: 'input as JSON; - reads standard input',
    },
    data: { type: 'string', multiple: true, value: 'FILE', help: 'base document as JSON or YAML' },
    explain: { type: 'boolean', help: 'show why instead of the result' },
    redact: {
      type: 'string',
      multiple: true,
      value: 'PATH',
      help: 'with --explain: a secret value, such as input.token',
    },
    v0: { type: 'boolean', help: 'modules are Rego v0' },
  },
  positionals: [1, 1],
  async run(invocation) {
    const [query = ''] = invocation.positionals
    const policy = await compiled(invocation)
    if (typeof policy === 'string') {
      printText(policy)
      return 2
    }
    const explain = invocation.options['explain'] === true
    const { text, failed, explanation } = opaEval(policy, query, {
      ...(await documents(invocation)),
      ...(explain && { explain: { redact: listOption(invocation, 'redact') } }),
    })
    if (!explain || failed || explanation === undefined) printText(text)
    else if (invocation.format === 'json') printText(`${JSON.stringify(explanation, null, 2)}\n`)
    else printText(`${explanationText(explanation)}\n`)
    return failed ? 2 : 0
  },
}

/** The policy, or the `errors` document of what cannot be compiled. */
async function compiled(invocation: Invocation): Promise<Policy | string> {
  const modules = await loadModules(listOption(invocation, 'policy'))
  try {
    return compile({ modules, version: invocation.options['v0'] === true ? 'v0' : 'v1' })
  } catch (error) {
    if (error instanceof RegoError) return errorText(error)
    throw error
  }
}

async function documents(invocation: Invocation): Promise<{ input?: unknown; data?: unknown }> {
  const inputFile = textOption(invocation, 'input')
  const input =
    inputFile === undefined
      ? undefined
      : parseJsonFile((await readInput(inputFile, 64 << 20)).toString('utf8'), inputFile)
  const parts = await Promise.all(
    listOption(invocation, 'data').map(async (file) =>
      fromYaml((await readInput(file, 64 << 20)).toString('utf8'), file),
    ),
  )
  return {
    ...(input !== undefined && { input }),
    ...(parts.length > 0 && { data: Object.assign({}, ...parts) as object }),
  }
}

import { AnyReleasePolicySchema } from '@cloister/protocol/broker-admin-api'
import { CloisterError } from '@cloister/protocol/error'
import { LIMITS } from '@cloister/protocol/limits'
import { textOption, type Command } from '../command.ts'
import { openBroker } from '../owner/broker-client.ts'
import { resourcePath } from '../owner/resource-path.ts'
import { readInput } from '../read-input.ts'

export const command: Command = {
  usage: 'secret put NAME --from-file FILE|- [--policy FILE] [--allow-simulated]',
  details:
    'NAME is repository/type/tag; a single word means default/secret/NAME. The value never stands on the command line.\nWithout a release policy, here or by `cloister policy apply`, the secret goes to nobody.',
  options: {
    'from-file': { type: 'string', value: 'FILE', help: 'the value; - reads standard input' },
    policy: { type: 'string', value: 'FILE', help: 'release policy as JSON' },
    'allow-simulated': {
      type: 'boolean',
      help: 'may go to a simulated TEE, which protects nothing',
    },
  },
  positionals: [1, 1],
  async run(invocation) {
    const [name = ''] = invocation.positionals
    const path = resourcePath(name)
    const file = textOption(invocation, 'from-file')
    if (file === undefined)
      throw new CloisterError('cli.usage', {
        why: '--from-file is missing',
        expected: `cloister ${command.usage}`,
      })
    const value = await readInput(file, LIMITS.resourceBytes)
    // A typo in a pipe gives nothing, and the workload would find out.
    if (value.length === 0)
      throw new CloisterError('cli.usage', { why: 'the value is empty', where: file })
    const policyFile = textOption(invocation, 'policy')
    const release = policyFile === undefined ? undefined : await readReleasePolicy(policyFile)
    const broker = openBroker(invocation.directories, invocation.signal)
    const result = await broker.putSecret(path, {
      value: value.toString('base64'),
      allowSimulated: invocation.options['allow-simulated'] === true,
      ...(release !== undefined && { release }),
    })
    const { output } = invocation
    await output.object(result, { name: path, text: () => `${path}  version ${result.version}` })
    if (release === undefined)
      output.talk(
        `next, unless it has a policy already: cloister run IMAGE --secret ${name}, which gives it to that workload, or cloister policy apply ${name} FILE`,
      )
  },
}

/** @throws CloisterError `policy.malformed` */
export async function readReleasePolicy(file: string) {
  const text = (await readInput(file, 1 << 20)).toString('utf8')
  try {
    return AnyReleasePolicySchema.parse(JSON.parse(text))
  } catch (cause) {
    const first = (cause as { issues?: { path: PropertyKey[]; message: string }[] }).issues?.[0]
    throw new CloisterError('policy.malformed', {
      where: first === undefined ? file : `${file}: ${first.path.join('.')}`,
      why: first?.message ?? 'it is not JSON',
      cause,
    })
  }
}

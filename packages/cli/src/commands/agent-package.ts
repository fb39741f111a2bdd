import { writeFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { ConfigurationSchema } from '@cloister/agent/installed/configuration'
import { buildAgentPackage } from '@cloister/image/agent-package/build-package'
import { CloisterError } from '@cloister/protocol/error'
import { listOption, textOption, type Command, type CommandLine } from '../command.ts'
import { readPinnedBroker } from '../owner/pinned-broker.ts'
import { resourcePath } from '../owner/resource-path.ts'

export const command: Command = {
  usage: 'agent package [--out FILE] [--broker URL [--resource PATH]…] [--port N]…',
  details:
    'Builds cloister-agent_VERSION_ARCHITECTURE.deb for the machines whose disk you own: install it there with apt or dpkg, or by cloud-init. It holds the agent,\nNode, a systemd unit and, with --broker, a configuration that names your broker and its keys. The same sources give the same bytes.',
  options: {
    out: { type: 'string', value: 'FILE', help: "default: the package's name, here" },
    broker: {
      type: 'string',
      value: 'URL',
      help: 'where VMs reach the pinned broker, such as https://10.0.2.2:8443; absent: the agent only answers the host',
    },
    resource: {
      type: 'string',
      multiple: true,
      value: 'PATH',
      help: "the broker's secret that every program of the VM may read at 127.0.0.1:8006/cdh/resource/PATH",
    },
    port: {
      type: 'string',
      multiple: true,
      value: 'N',
      help: 'TCP port of the VM that `connect` may join',
    },
  },
  positionals: [0, 0],
  async run(invocation) {
    const { directories, output } = invocation
    const configuration = configurationFor(invocation, directories)
    const built = await buildAgentPackage({ ...(configuration !== undefined && { configuration }) })
    const file = resolve(textOption(invocation, 'out') ?? built.fileName)
    await writeFile(file, built.bytes)
    const { version, sha256, bytes } = built
    await output.object(
      { file, version, sha256, bytes: bytes.length },
      { name: file, text: () => `${file}\n  SHA-256  ${sha256}` },
    )
    output.talk('next: install it in the VM with `apt install ./FILE`, then cloister verify NAME')
  },
}

/** Absent: nothing was said, and the agent only answers the host. @throws CloisterError `cli.usage`, `owner.broker-unpinned` */
function configurationFor(
  line: CommandLine,
  directories: Parameters<typeof readPinnedBroker>[0],
): string | undefined {
  const url = textOption(line, 'broker')
  const resources = listOption(line, 'resource').map(resourcePath)
  const ports = listOption(line, 'port').map((text) => (/^\d+$/.test(text) ? Number(text) : text))
  if (url === undefined && resources.length > 0)
    throw new CloisterError('cli.usage', { why: '--resource without --broker' })
  if (url === undefined && ports.length === 0) return undefined
  const parsed = ConfigurationSchema.partial().safeParse({
    version: 1,
    ...(url !== undefined && { broker: brokerAt(url, directories) }),
    ...(resources.length > 0 && { resources }),
    ...(ports.length > 0 && { ports }),
  })
  if (!parsed.success) {
    const [issue] = parsed.error.issues
    const why = `--${issue?.path[0] === 'ports' ? 'port' : 'resource'}: ${issue?.message}`
    throw new CloisterError('cli.usage', { why })
  }
  return `${JSON.stringify(parsed.data, undefined, 2)}\n`
}

function brokerAt(url: string, directories: Parameters<typeof readPinnedBroker>[0]) {
  const pinned = readPinnedBroker(directories)
  if (pinned === undefined) throw new CloisterError('owner.broker-unpinned')
  if (!URL.canParse(url) || new URL(url).protocol !== 'https:')
    throw new CloisterError('cli.usage', { why: '--broker is no https URL', received: url })
  return { url, spki: pinned.spki }
}

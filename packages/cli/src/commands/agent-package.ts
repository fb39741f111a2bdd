import { writeFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { buildAgentPackage } from '@cloister/image/agent-package/build-package'
import { CloisterError } from '@cloister/protocol/error'
import { textOption, type Command } from '../command.ts'
import { readPinnedBroker } from '../owner/pinned-broker.ts'

export const command: Command = {
  usage: 'agent package [--out FILE] [--broker URL]',
  details:
    'Builds cloister-agent_VERSION_ARCHITECTURE.deb for the machines whose disk you own: install it there with apt or dpkg, or by cloud-init. It holds the agent,\nNode, a systemd unit and, with --broker, a configuration that names your broker and its keys. The same sources give the same bytes.',
  options: {
    out: { type: 'string', value: 'FILE', help: "default: the package's name, here" },
    broker: {
      type: 'string',
      value: 'URL',
      help: 'where VMs reach the pinned broker, such as https://10.0.2.2:8443; absent: the agent only answers the host',
    },
  },
  positionals: [0, 0],
  async run(invocation) {
    const { directories, output } = invocation
    const url = textOption(invocation, 'broker')
    const configuration = url === undefined ? undefined : configurationFor(url, directories)
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

function configurationFor(
  url: string,
  directories: Parameters<typeof readPinnedBroker>[0],
): string {
  const pinned = readPinnedBroker(directories)
  if (pinned === undefined) throw new CloisterError('owner.broker-unpinned')
  if (!URL.canParse(url) || new URL(url).protocol !== 'https:')
    throw new CloisterError('cli.usage', { why: '--broker is no https URL', received: url })
  const broker = { url, spki: pinned.spki }
  return `${JSON.stringify({ version: 1, broker }, undefined, 2)}\n`
}

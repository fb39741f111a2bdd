/** What the Debian package `cloister-agent` puts into a VM, and what it tells dpkg. */
import { readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { bundleAgent } from '../agent-bundle.ts'

export interface PackageFile {
  /** Absolute. */
  readonly path: string
  readonly content: Uint8Array
  readonly mode: number
}

const INSTALLED_AGENT_ENTRY = fileURLToPath(
  new URL('../../../agent/src/installed/main.ts', import.meta.url),
)
/** Beside the agent, which starts it in a TEE whose kernel has no configfs-tsm. */
const TEE_REPORT = 'tee-report.pl'
const LICENCE = fileURLToPath(new URL('../../../../LICENSE', import.meta.url))
const FOLDER = '/usr/lib/cloister-agent'
export const CONFIGURATION_FILE = '/etc/cloister/agent.json'
const UNIT = 'cloister-agent.service'

export interface PackageContents {
  /** The Node binary that runs the agent. */
  readonly node: string
  /** Text of {@link CONFIGURATION_FILE}; absent: the package brings none. */
  readonly configuration?: string
}

/** The files in the order in which they stand in the package. */
export async function packageFiles({
  node,
  configuration,
}: PackageContents): Promise<readonly PackageFile[]> {
  const text = (path: string, content: string, mode = 0o644) => ({
    path,
    content: Buffer.from(content),
    mode,
  })
  const bundle = await bundleAgent(INSTALLED_AGENT_ENTRY)
  const programs = [...bundle].map(([file, code]) => text(`${FOLDER}/${file}`, code))
  return [
    // May name addresses inside: for root alone.
    ...(configuration === undefined ? [] : [text(CONFIGURATION_FILE, configuration, 0o600)]),
    ...programs,
    {
      path: `${FOLDER}/${TEE_REPORT}`,
      content: await readFile(join(dirname(INSTALLED_AGENT_ENTRY), TEE_REPORT)),
      mode: 0o644,
    },
    { path: `${FOLDER}/node`, content: await readFile(node), mode: 0o755 },
    text(`/usr/lib/systemd/system/${UNIT}`, SYSTEMD_UNIT),
    text('/usr/share/doc/cloister-agent/copyright', await copyright(node)),
  ]
}

async function copyright(node: string): Promise<string> {
  // Beside the binary in the packages of the npm registry and of nodejs.org alike.
  const nodeLicence = await readFile(join(dirname(dirname(node)), 'LICENSE'), 'utf8').catch(
    () => 'See https://github.com/nodejs/node/blob/main/LICENSE\n',
  )
  const ours = await readFile(LICENCE, 'utf8')
  return `Cloister agent\n\n${ours}\n\n${FOLDER}/node: Node.js\n\n${nodeLicence}`
}

/**
 * The agent needs the TPM or the TEE's device, the host's port, configfs, the network, and vsock for a quote service of the host's. It stays root, for the kernel gives the TPM and the event log to root alone, and
 * has of root's capabilities only the one to open them. Node's compiler writes code, so MemoryDenyWriteExecute is out of the question.
 */
const SYSTEMD_UNIT = `[Unit]
Description=Cloister agent: proves this VM to its owner
Documentation=man:systemd(1)
After=network.target
StartLimitIntervalSec=0

[Service]
ExecStart=${FOLDER}/node ${FOLDER}/agent.mjs
Restart=always
RestartSec=10
CapabilityBoundingSet=CAP_DAC_OVERRIDE
DevicePolicy=closed
DeviceAllow=/dev/tpmrm0 rw
DeviceAllow=char-virtio-portsdev rw
DeviceAllow=/dev/sev-guest rw
DeviceAllow=/dev/tdx_guest rw
LockPersonality=yes
NoNewPrivileges=yes
PrivateTmp=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHome=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectSystem=strict
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_VSOCK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
UMask=0077

[Install]
WantedBy=multi-user.target
`

/** Maintainer scripts (Debian Policy, 6). In an image that does not run, the unit is only enabled. */
export const MAINTAINER_SCRIPTS = {
  postinst: `#!/bin/sh
set -e
[ "$1" = configure ] || exit 0
command -v systemctl >/dev/null || exit 0
systemctl enable ${UNIT}
if [ -d /run/systemd/system ]; then
  systemctl daemon-reload
  systemctl restart ${UNIT}
fi
`,
  prerm: `#!/bin/sh
set -e
[ "$1" = remove ] || exit 0
command -v systemctl >/dev/null || exit 0
[ ! -d /run/systemd/system ] || systemctl stop ${UNIT}
systemctl disable ${UNIT}
`,
} as const

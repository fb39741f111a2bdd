import type { HostdClient } from '@cloister/hostd/client'
import { CloisterError } from '@cloister/protocol/error'
import type { VmView } from '@cloister/protocol/hostd-vm-api'
import { listOption, textOption, type Command, type Invocation } from '../command.ts'
import { openHostd } from '../hostd.ts'
import { badOption } from '../option-values.ts'
import { readInput } from '../read-input.ts'
import { targetsOfNow } from '../vm/broker-targets.ts'
import { DETACH_OPTION, followStart } from '../vm/follow-start.ts'
import type { SevFirmware } from '@cloister/verifier/sev/firmware'
import type { LaunchSecret } from '../vm/sev/launch-secret.ts'

/** Four certificates of 2084 bytes and two of AMD's, of 1600 at most. */
const MAX_PLATFORM_BYTES = 64 << 10
const MAX_SECRET_BYTES = 16 << 10

/** Each of them asks for a launch in which the owner takes part. */
const LAUNCH_OPTIONS = ['launch-secret', 'sev-platform', 'sev-firmware'] as const

export const command: Command = {
  usage:
    'vm start NAME [--launch-secret [GUID=]FILE… --sev-platform FILE [--sev-firmware VERSION]] [--detach]',
  details:
    'One that runs goes on as it is. One with a measured boot finds your broker where it listens now, and is followed until its disk is open; when broker or guest refuse, the failed check is shown.\nWith --launch-secret, for a VM under SEV that was made with --kernel: the firmware of the processor measures firmware, kernel, initrd and command line; only when that is what you have does the\nsecret go in, closed to everybody but that launch, and only then the guest runs. It finds it in /sys/kernel/security/secrets/coco/GUID.',
  options: {
    ...DETACH_OPTION,
    'launch-secret': {
      type: 'string',
      multiple: true,
      value: '[GUID=]FILE',
      help: "secret for the guest, byte for byte; default GUID that of a disk's passphrase",
    },
    'sev-platform': {
      type: 'string',
      value: 'FILE',
      help: "certificates of the host's processor: `sevctl export --full FILE` on the host",
    },
    'sev-firmware': {
      type: 'string',
      value: 'MAJOR.MINOR.BUILD',
      help: 'oldest firmware of the processor that gets the secret; default 0.17.22',
    },
  },
  positionals: [1, 1],
  async run(invocation) {
    const { output, positionals, signal } = invocation
    const [name = ''] = positionals
    const hostd = await openHostd(invocation)
    const secrets = listOption(invocation, 'launch-secret')
    const started = LAUNCH_OPTIONS.some((option) => invocation.options[option] !== undefined)
      ? await startAsOwner(name, hostd, invocation)
      : await hostd.vms.start(
          name,
          { targets: await targetsOfNow(name, hostd, invocation) },
          { signal },
        )
    const view = await followStart(started, hostd, invocation)
    await output.object(view, { name, text: () => `${name} ${view.state}` })
    if (secrets.length === 0 && view.boot === 'direct')
      output.talk(`${name} runs without a launch secret, and its launch was not checked`)
    output.talk(`next: cloister vm ssh ${name}, cloister vm logs ${name} -f`)
  },
}

async function startAsOwner(
  name: string,
  hostd: HostdClient,
  invocation: Invocation,
): Promise<VmView> {
  const { directories, output, signal } = invocation
  const platform = textOption(invocation, 'sev-platform')
  const given = listOption(invocation, 'launch-secret')
  if (platform === undefined || given.length === 0)
    throw new CloisterError('cli.usage', {
      why: 'a launch secret needs the platform that it is for',
      expected: '--launch-secret FILE --sev-platform FILE',
    })
  const minimumFirmware = await minimumFirmwareOf(invocation)
  const { expectedLaunch } = await import('../vm/sev/direct-boot.ts')
  const { startWithSecret } = await import('../vm/sev/start-with-secret.ts')
  const { DISK_SECRET_GUID } = await import('../vm/sev/launch-secret.ts')
  const secrets: LaunchSecret[] = []
  for (const text of given) secrets.push(await readSecret(text, DISK_SECRET_GUID))
  try {
    const start = {
      name,
      secrets,
      platform: await readInput(platform, MAX_PLATFORM_BYTES),
      expected: await expectedLaunch(directories, name),
      ...(minimumFirmware !== undefined && { minimumFirmware }),
    }
    return await startWithSecret(start, hostd, { talk: (line) => output.talk(line), signal })
  } finally {
    for (const { value } of secrets) value.fill(0)
  }
}

/** Absent: not given. @throws CloisterError `cli.usage` */
async function minimumFirmwareOf(invocation: Invocation): Promise<SevFirmware | undefined> {
  const text = textOption(invocation, 'sev-firmware')
  if (text === undefined) return undefined
  const { parseSevFirmware } = await import('@cloister/verifier/sev/firmware')
  const version = parseSevFirmware(text)
  if (version !== undefined) return version
  throw badOption('--sev-firmware is no version', 'MAJOR.MINOR.BUILD, such as 0.24.15', text)
}

async function readSecret(text: string, defaultGuid: string): Promise<LaunchSecret> {
  const [, named, file = text] = /^([0-9A-Fa-f-]{36})=(.+)$/s.exec(text) ?? []
  const guid = (named ?? defaultGuid).toLowerCase()
  if (!/^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/.test(guid))
    throw badOption('--launch-secret has no GUID before =', '[GUID=]FILE', text)
  return { guid, value: await readInput(file, MAX_SECRET_BYTES) }
}

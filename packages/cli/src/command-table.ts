/** Every command with its one-line summary, grouped as help shows them. Modules load only when their command runs. */
import { CloisterError } from '@cloister/protocol/error'
import type { Command, CommandList, FoundCommand } from './command.ts'
import { nearestWords } from './edit-distance.ts'

interface TableEntry {
  readonly group: string
  readonly summary: string
  /** It serves until it is ended. Absent: it does one thing and ends. */
  readonly isServer?: true
  readonly load: () => Promise<{ command: Command }>
}

const TABLE: Readonly<Record<string, TableEntry>> = {
  quickstart: {
    group: 'Start',
    summary: 'set up everything and run the demo: attested, encrypted, attacked',
    load: () => import('./commands/quickstart.ts'),
  },
  test: {
    group: 'Start',
    summary: 'set up everything and run the tests',
    load: () => import('./commands/test.ts'),
  },
  doctor: {
    group: 'Start',
    summary: 'what this host can do, and the fix for what it cannot',
    load: () => import('./commands/doctor.ts'),
  },
  run: {
    group: 'Workloads',
    summary: 'run an OCI image in a confidential VM',
    load: () => import('./commands/run.ts'),
  },
  ps: { group: 'Workloads', summary: 'list workloads', load: () => import('./commands/ps.ts') },
  inspect: {
    group: 'Workloads',
    summary: 'everything known of one workload',
    load: () => import('./commands/inspect.ts'),
  },
  logs: {
    group: 'Workloads',
    summary: 'what a workload wrote, as far as its policy lets the host read it',
    load: () => import('./commands/logs.ts'),
  },
  stop: {
    group: 'Workloads',
    summary: 'stop a workload',
    load: () => import('./commands/stop.ts'),
  },
  rm: { group: 'Workloads', summary: 'remove a workload', load: () => import('./commands/rm.ts') },
  'vm create': {
    group: 'VMs',
    summary: 'make a VM from a disk image and start it',
    load: () => import('./commands/vm-create.ts'),
  },
  'vm ls': {
    group: 'VMs',
    summary: 'list VMs',
    load: () => import('./commands/vm-ls.ts'),
  },
  'vm show': {
    group: 'VMs',
    summary: 'everything known of one VM',
    load: () => import('./commands/vm-show.ts'),
  },
  'vm start': {
    group: 'VMs',
    summary: 'start a VM',
    load: () => import('./commands/vm-start.ts'),
  },
  'vm stop': {
    group: 'VMs',
    summary: 'shut a VM down',
    load: () => import('./commands/vm-stop.ts'),
  },
  'vm restart': {
    group: 'VMs',
    summary: 'stop and start a VM',
    load: () => import('./commands/vm-restart.ts'),
  },
  'vm rm': {
    group: 'VMs',
    summary: 'remove a VM with its disk',
    load: () => import('./commands/vm-rm.ts'),
  },
  'vm ssh': {
    group: 'VMs',
    summary: 'log in, or run one command',
    load: () => import('./commands/vm-ssh.ts'),
  },
  'vm console': {
    group: 'VMs',
    summary: 'the serial console on this terminal',
    load: () => import('./commands/vm-console.ts'),
  },
  'vm logs': {
    group: 'VMs',
    summary: 'what a VM wrote on its serial console',
    load: () => import('./commands/vm-logs.ts'),
  },
  'vm accept-machine': {
    group: 'VMs',
    summary: 'accept the machine (RTMR0) of a TDX guest, so that secrets go to it',
    load: () => import('./commands/vm-accept-machine.ts'),
  },
  'vm resize': {
    group: 'VMs',
    summary: 'change vCPUs, memory and disk',
    load: () => import('./commands/vm-resize.ts'),
  },
  'vm snapshot': {
    group: 'VMs',
    summary: 'make, restore, delete and list snapshots',
    load: () => import('./commands/vm-snapshot.ts'),
  },
  'vm update-boot': {
    group: 'VMs',
    summary: 'give a VM with a measured boot another kernel',
    load: () => import('./commands/vm-update-boot.ts'),
  },
  'vm disk rekey': {
    group: 'VMs',
    summary: 'give an encrypted disk another key',
    load: () => import('./commands/vm-disk-rekey.ts'),
  },
  'vm disk recovery-key': {
    group: 'VMs',
    summary: 'make a recovery key for an encrypted disk, shown once',
    load: () => import('./commands/vm-disk-recovery-key.ts'),
  },
  'vm events': {
    group: 'VMs',
    summary: 'what happened to a VM',
    load: () => import('./commands/vm-events.ts'),
  },
  'vm integrity': {
    group: 'VMs',
    summary: 'compare a boot of a VM with its baseline',
    load: () => import('./commands/vm-integrity.ts'),
  },
  'vm images': {
    group: 'VMs',
    summary: 'disk images by name',
    load: () => import('./commands/vm-images.ts'),
  },
  'vm import': {
    group: 'VMs',
    summary: 'copy a disk image into the catalogue',
    load: () => import('./commands/vm-import.ts'),
  },
  attest: {
    group: 'Trust',
    summary: 'fetch fresh evidence and the attestation token of a workload',
    load: () => import('./commands/attest.ts'),
  },
  verify: {
    group: 'Trust',
    summary: 'appraise a workload with a fresh nonce; exit 0, 2 refused, 3 undecided',
    load: () => import('./commands/verify.ts'),
  },
  'vm verify': {
    group: 'Trust',
    summary: 'appraise a VM with a fresh nonce, and say what stands behind each claim',
    load: () => import('./commands/vm-verify.ts'),
  },
  'vm prove': {
    group: 'Trust',
    summary: 'show what the host can read of a VM; a demonstration',
    load: () => import('./commands/vm-prove.ts'),
  },
  'vm attest': {
    group: 'Trust',
    summary: 'fetch fresh evidence and the attestation token of a VM',
    load: () => import('./commands/vm-attest.ts'),
  },
  connect: {
    group: 'Trust',
    summary: 'a local port that ends, over verified TLS, inside the guest',
    load: () => import('./commands/connect.ts'),
  },
  measure: {
    group: 'Trust',
    summary: 'predict launch digests',
    load: () => import('./commands/measure.ts'),
  },
  'evidence parse': {
    group: 'Trust',
    summary: 'show what evidence says, unverified',
    load: () => import('./commands/evidence-parse.ts'),
  },
  'evidence fetch': {
    group: 'Trust',
    summary: 'fetch the endorsements that evidence needs, into one file',
    load: () => import('./commands/evidence-fetch.ts'),
  },
  'evidence verify': {
    group: 'Trust',
    summary: 'verify and appraise evidence from a file',
    load: () => import('./commands/evidence-verify.ts'),
  },
  'secret put': {
    group: 'Owner',
    summary: 'store a secret at the broker',
    load: () => import('./commands/secret-put.ts'),
  },
  'secret ls': {
    group: 'Owner',
    summary: 'list secrets, never their values',
    load: () => import('./commands/secret-ls.ts'),
  },
  'secret rm': {
    group: 'Owner',
    summary: 'delete a secret',
    load: () => import('./commands/secret-rm.ts'),
  },
  'policy show': {
    group: 'Owner',
    summary: 'the release policy of a secret, in sentences',
    load: () => import('./commands/policy-show.ts'),
  },
  'policy apply': {
    group: 'Owner',
    summary: 'replace the release policy of a secret',
    load: () => import('./commands/policy-apply.ts'),
  },
  'policy eval': {
    group: 'Owner',
    summary: 'evaluate a Rego query, with an explanation',
    load: () => import('./commands/policy-eval.ts'),
  },
  'policy check': {
    group: 'Owner',
    summary: 'parse and compile Rego, point at dangerous openings',
    load: () => import('./commands/policy-check.ts'),
  },
  'policy test': {
    group: 'Owner',
    summary: 'run the Rego rules named test_…',
    load: () => import('./commands/policy-test.ts'),
  },
  'policy fmt': {
    group: 'Owner',
    summary: 'format Rego',
    load: () => import('./commands/policy-fmt.ts'),
  },
  'tpm-ca add': {
    group: 'Owner',
    summary: 'trust a CA that vouches for the TPMs of VMs',
    load: () => import('./commands/tpm-ca-add.ts'),
  },
  'tpm-ca ls': {
    group: 'Owner',
    summary: 'list the CAs of TPMs that the broker trusts',
    load: () => import('./commands/tpm-ca-ls.ts'),
  },
  'tpm-ca rm': {
    group: 'Owner',
    summary: 'trust a CA of TPMs no longer',
    load: () => import('./commands/tpm-ca-rm.ts'),
  },
  'intel-collateral add': {
    group: 'Owner',
    summary: "give the broker Intel's collateral, without which it believes no TDX quote",
    load: () => import('./commands/intel-collateral-add.ts'),
  },
  'intel-collateral rm': {
    group: 'Owner',
    summary: "take Intel's collateral for a kind of platform from the broker",
    load: () => import('./commands/intel-collateral-rm.ts'),
  },
  'platform enroll': {
    group: 'Owner',
    summary: 'name a chip or platform that the broker shall know',
    load: () => import('./commands/platform-enroll.ts'),
  },
  'platform ls': {
    group: 'Owner',
    summary: 'list the platforms that the broker knows',
    load: () => import('./commands/platform-ls.ts'),
  },
  'platform rm': {
    group: 'Owner',
    summary: 'strike a platform off',
    load: () => import('./commands/platform-rm.ts'),
  },
  'revocation-list add': {
    group: 'Owner',
    summary: 'bring one of AMD’s revocation lists to the broker',
    load: () => import('./commands/revocation-list-add.ts'),
  },
  'revocation-list ls': {
    group: 'Owner',
    summary: 'list the revocation lists that the broker has',
    load: () => import('./commands/revocation-list-ls.ts'),
  },
  'image encrypt': {
    group: 'Images',
    summary: 'encrypt the layers of an image',
    load: () => import('./commands/image-encrypt.ts'),
  },
  'image sign': {
    group: 'Images',
    summary: 'sign an image with a key pair, as cosign does',
    load: () => import('./commands/image-sign.ts'),
  },
  'image inspect': {
    group: 'Images',
    summary: 'manifest, layers, encryption and signatures of an image',
    load: () => import('./commands/image-inspect.ts'),
  },
  'agent package': {
    group: 'Images',
    summary: 'build the agent as a Debian package for your own VMs',
    load: () => import('./commands/agent-package.ts'),
  },
  'guest-image build': {
    group: 'Images',
    summary: 'build the guest image from Debian packages',
    load: () => import('./commands/guest-image-build.ts'),
  },
  'guest-image verify': {
    group: 'Images',
    summary: 'rebuild a guest image and compare every byte',
    load: () => import('./commands/guest-image-verify.ts'),
  },
  'guest-image ls': {
    group: 'Images',
    summary: 'list guest images',
    load: () => import('./commands/guest-image-ls.ts'),
  },
  'broker start': {
    group: 'Services',
    summary: 'run the broker (Verifier and key broker); --detach for the background',
    isServer: true,
    load: () => import('./commands/broker-start.ts'),
  },
  'broker status': {
    group: 'Services',
    summary: 'whether the broker answers, its pins and counts',
    load: () => import('./commands/broker-status.ts'),
  },
  'broker audit': {
    group: 'Services',
    summary: 'decisions of the broker with their reasons',
    load: () => import('./commands/broker-audit.ts'),
  },
  'broker instances ls': {
    group: 'Services',
    summary: 'list the live instances of workloads that may have only so many',
    load: () => import('./commands/broker-instances-ls.ts'),
  },
  'broker instances rm': {
    group: 'Services',
    summary: 'end an instance for good',
    load: () => import('./commands/broker-instances-rm.ts'),
  },
  'broker workloads ls': {
    group: 'Services',
    summary: 'list the revisions of workloads that you registered',
    load: () => import('./commands/broker-workloads-ls.ts'),
  },
  'broker workloads withdraw': {
    group: 'Services',
    summary: 'release nothing more to a workload',
    load: () => import('./commands/broker-workloads-withdraw.ts'),
  },
  'broker guest-images ls': {
    group: 'Services',
    summary: 'list the guest images that you registered',
    load: () => import('./commands/broker-guest-images-ls.ts'),
  },
  'broker guest-images withdraw': {
    group: 'Services',
    summary: 'release nothing more to guests of an image',
    load: () => import('./commands/broker-guest-images-withdraw.ts'),
  },
  'broker stop': {
    group: 'Services',
    summary: 'stop the local broker',
    load: () => import('./commands/broker-stop.ts'),
  },
  'hostd status': {
    group: 'Services',
    summary: 'whether hostd answers, its version and host',
    load: () => import('./commands/hostd-status.ts'),
  },
  'hostd quota': {
    group: 'Services',
    summary: 'what all guests of this host may have together, and have',
    load: () => import('./commands/hostd-quota.ts'),
  },
  'hostd stop': {
    group: 'Services',
    summary: 'stop hostd; running guests go on',
    load: () => import('./commands/hostd-stop.ts'),
  },
  explain: {
    group: 'Comfort',
    summary: 'what an error code means and what to do',
    load: () => import('./commands/explain.ts'),
  },
  completion: {
    group: 'Comfort',
    summary: 'completion script for bash, zsh or fish',
    load: () => import('./commands/completion.ts'),
  },
}

/** The command that the first words name. @throws CloisterError `cli.unknown-command` */
export function findCommand(argv: readonly string[]): FoundCommand {
  const [first = '', second = ''] = argv
  for (const words of [3, 2, 1] as const) {
    const name = argv.slice(0, words).join(' ')
    if (Object.hasOwn(TABLE, name)) return { name, words }
  }
  throw new CloisterError('cli.unknown-command', {
    ...(first.startsWith('-') && { why: 'the command comes first, then its options' }),
    received: argv.slice(0, 2).join(' ').trim().slice(0, 60),
    fix: suggestions(first, second),
  })
}

/** Whether the word begins the names of commands and is none itself, such as `vm`. */
export function isGroup(word: string): boolean {
  return !Object.hasOwn(TABLE, word) && namesIn(word).length > 0
}

export async function loadCommand(found: FoundCommand): Promise<Command> {
  const { isServer, load } = entry(found.name)
  // A schema is compiled at its first use, which pays off after hundreds of uses: 20 ms of a `run`.
  if (isServer !== true) (await import('zod')).config({ jitless: true })
  return (await load()).command
}

export function summaries(): readonly { name: string; group: string; summary: string }[] {
  return Object.entries(TABLE).map(([name, { group, summary }]) => ({ name, group, summary }))
}

export const COMMANDS: CommandList = {
  summaries,
  load: async (name) => (await entry(name).load()).command,
}

function entry(name: string): TableEntry {
  const found = TABLE[name]
  if (found === undefined) throw new CloisterError('cli.unknown-command', { received: name })
  return found
}

function namesIn(word: string): string[] {
  return Object.keys(TABLE).filter((name) => name.startsWith(`${word} `))
}

/** What was probably meant, then the help that lists all. */
function suggestions(first: string, second: string): string[] {
  const group = namesIn(first)
  if (group.length > 0) {
    const near = nearestWords(
      second,
      group.map((name) => name.slice(first.length + 1)),
    )
    return [...near.map((name) => `cloister ${first} ${name}`), `cloister help ${first}`]
  }
  const names = Object.keys(TABLE)
  const firstWords = [...new Set(names.map((name) => name.split(' ')[0] ?? ''))]
  const near = nearestWords(first, firstWords).map((word) =>
    Object.hasOwn(TABLE, word) ? `cloister ${word}` : `cloister help ${word}`,
  )
  // `vmls`, `secretput`: the blank was forgotten.
  const joined = names.filter((name) => name.replaceAll(' ', '') === first)
  // `create`, `console`: the word of the group was forgotten.
  const inGroups = names.filter((name) => name.endsWith(` ${first}`))
  return [
    ...[...joined, ...inGroups].slice(0, 4).map((name) => `cloister ${name}`),
    ...near,
    'cloister help',
  ]
}

/**
 * The machine's own apt with a state of its own: source list, package lists, cache and an empty dpkg status, all below one
 * directory. Of the machine's configuration only the settings of its network are taken over; hooks, sources, pins and
 * installed packages play no part, and nothing of it changes.
 */
import { chown, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { CloisterError } from '@cloister/protocol/error'

import type { BuildContext } from './run.ts'
import { exists } from './files.ts'
import { DEBIAN_KEYRING } from './recipe.ts'
import { run } from './run.ts'

export interface AptSource {
  readonly address: string
  readonly suite: string
}

/** Proxy, retries and clock: what the administrator of the machine decided about reaching the mirror. */
const NETWORK_SETTING =
  /^Acquire::(?:http|https|ftp|Retries|ForceIPv4|ForceIPv6|Check-Date|Check-Valid-Until)\b/

export class PrivateApt {
  readonly #directory: string
  readonly #context: BuildContext

  private constructor(directory: string, context: BuildContext) {
    this.#directory = directory
    this.#context = context
  }

  /**
   * Makes the state below `directory` and reads the lists of these sources, verified with Debian's keyring.
   *
   * @throws CloisterError `guest-image.keyring-missing`, `guest-image.fetch-failed`
   */
  static async create(
    directory: string,
    sources: readonly AptSource[],
    context: BuildContext,
  ): Promise<PrivateApt> {
    if (!(await exists(DEBIAN_KEYRING)))
      throw new CloisterError('guest-image.keyring-missing', { where: DEBIAN_KEYRING })
    for (const path of ['lists/partial', 'cache/archives/partial', 'download'])
      await mkdir(join(directory, path), { recursive: true })
    const network = await run('apt-config', ['dump', 'Acquire'], context)
    await writeFile(join(directory, 'status'), '')
    await writeFile(join(directory, 'sources.list'), sources.map(sourceLine).join(''))
    await writeFile(join(directory, 'apt.conf'), configuration(directory, network))
    const apt = new PrivateApt(directory, context)
    await apt.#fetch('update', '--error-on=any')
    return apt
  }

  /** The packages that an empty system would get with these: their dependencies, nothing recommended. */
  async closure(packages: readonly string[]): Promise<string[]> {
    const listing = await this.#run('apt-get', [
      'install',
      '--print-uris',
      '--no-install-recommends',
      '-y',
      '-qq',
      ...packages,
    ])
    return [...listing.matchAll(/^'[^']+' ([a-z0-9][a-z0-9.+-]*)_/gm)].map(([, name]) => name!)
  }

  /** The package names in the `Depends` of the newest version of a package. */
  async dependencies(name: string): Promise<string[]> {
    const record = await this.#run('apt-cache', ['show', '--no-all-versions', name])
    const line = /^Depends: (.+)$/m.exec(record)?.[1] ?? ''
    return line.split(',').map((one) => one.trim().split(' ')[0]!)
  }

  /** Fetches packages, verified, into {@link downloadDirectory}. */
  async download(packages: readonly string[]): Promise<void> {
    await giveToSandbox(this.downloadDirectory)
    await this.#fetch('download', ...packages)
  }

  get downloadDirectory(): string {
    return join(this.#directory, 'download')
  }

  async #fetch(...args: readonly string[]): Promise<void> {
    try {
      await this.#run('apt-get', args)
    } catch (error) {
      if (!(error instanceof CloisterError) || error.code !== 'guest-image.tool-failed') throw error
      const { why } = error.details
      throw new CloisterError('guest-image.fetch-failed', { cause: error, ...(why && { why }) })
    }
  }

  async #run(program: string, args: readonly string[]): Promise<string> {
    const env = { ...process.env, LC_ALL: 'C', APT_CONFIG: join(this.#directory, 'apt.conf') }
    return run(program, args, { ...this.#context, cwd: this.downloadDirectory, env })
  }
}

function sourceLine({ address, suite }: AptSource): string {
  return `deb [arch=amd64 signed-by=${DEBIAN_KEYRING}] ${address} ${suite} main\n`
}

function configuration(directory: string, network: string): string {
  const kept = network.split('\n').filter((line) => NETWORK_SETTING.test(line))
  return [
    ...kept,
    'APT::Architecture "amd64";',
    'APT::Get::AllowUnauthenticated "false";',
    'Acquire::AllowInsecureRepositories "false";',
    'Acquire::Languages "none";',
    'Dir::Etc::Main "/dev/null";',
    'Dir::Etc::Parts "/dev/null";',
    'Dir::Etc::Preferences "/dev/null";',
    'Dir::Etc::PreferencesParts "/dev/null";',
    'Dir::Etc::SourceParts "/dev/null";',
    `Dir::Etc::SourceList "${directory}/sources.list";`,
    `Dir::State::Lists "${directory}/lists";`,
    `Dir::State::Status "${directory}/status";`,
    `Dir::State::Extended_States "${directory}/extended_states";`,
    `Dir::Cache "${directory}/cache";`,
    '',
  ].join('\n')
}

/** Started by root, apt fetches as the user `_apt`, who must be able to write where the packages go. */
async function giveToSandbox(directory: string): Promise<void> {
  if (process.getuid?.() !== 0) return
  const users = await readFile('/etc/passwd', 'utf8')
  const entry = /^_apt:[^:]*:(\d+):/m.exec(users)
  if (entry !== null) await chown(directory, Number(entry[1]), -1)
}

/**
 * Configuration for the machine's apt with a state of its own below one directory. Of the machine's settings only those of its
 * network are taken over: its hooks, pins, lists and installed packages play no part, and nothing of it changes.
 */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import type { BuildContext } from './run.ts'
import { DEBIAN_KEYRING } from './recipe.ts'
import { run } from './run.ts'

export interface AptSource {
  readonly address: string
  readonly suite: string
}

/** Proxy, retries and clock: what the administrator of the machine decided about reaching the mirror. */
const NETWORK_SETTING =
  /^Acquire::(?:http|https|ftp|Retries|ForceIPv4|ForceIPv6|Check-Date|Check-Valid-Until)\b/

/**
 * Makes the directories and `apt.conf`.
 *
 * @param directory - absolute
 * @param sources - absent: the machine's own sources
 * @returns the environment with which apt takes this configuration
 */
export async function configureApt(
  directory: string,
  sources: readonly AptSource[] | undefined,
  context: BuildContext,
): Promise<NodeJS.ProcessEnv> {
  for (const path of ['lists/partial', 'cache/archives/partial'])
    await mkdir(join(directory, path), { recursive: true })
  const machine = await run('apt-config', ['dump', 'Acquire'], context)
  const network = machine.split('\n').filter((line) => NETWORK_SETTING.test(line))
  const settings = [...network, ...stateSettings(directory)]
  if (sources !== undefined) {
    await writeFile(join(directory, 'sources.list'), sources.map(sourceLine).join(''))
    settings.push(
      `Dir::Etc::SourceList "${directory}/sources.list";`,
      'Dir::Etc::SourceParts "/dev/null";',
    )
  }
  const path = join(directory, 'apt.conf')
  await writeFile(join(directory, 'status'), '')
  await writeFile(path, settings.map((line) => `${line}\n`).join(''))
  return { ...process.env, LC_ALL: 'C', APT_CONFIG: path }
}

function stateSettings(directory: string): string[] {
  return [
    'APT::Architecture "amd64";',
    'APT::Get::AllowUnauthenticated "false";',
    'Acquire::AllowInsecureRepositories "false";',
    'Acquire::AllowWeakRepositories "false";',
    'Acquire::Languages "none";',
    'Dir::Etc::Main "/dev/null";',
    'Dir::Etc::Parts "/dev/null";',
    'Dir::Etc::Preferences "/dev/null";',
    'Dir::Etc::PreferencesParts "/dev/null";',
    `Dir::State::Lists "${directory}/lists";`,
    `Dir::State::Status "${directory}/status";`,
    `Dir::State::Extended_States "${directory}/extended_states";`,
    `Dir::Cache "${directory}/cache";`,
  ]
}

function sourceLine({ address, suite }: AptSource): string {
  return `deb [arch=amd64 signed-by=${DEBIAN_KEYRING}] ${address} ${suite} main\n`
}

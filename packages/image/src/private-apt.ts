/** The machine's own apt, with sources and a state of its own: finds and fetches packages that Debian's keys vouch for. */
import { chown, mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'

import { CloisterError } from '@cloister/protocol/error'

import type { AptSource } from './apt-configuration.ts'
import type { BuildContext } from './run.ts'
import { configureApt } from './apt-configuration.ts'
import { exists } from './files.ts'
import { DEBIAN_KEYRING } from './recipe.ts'
import { run } from './run.ts'

export class PrivateApt {
  /** Receives the packages. */
  readonly downloadDirectory: string
  readonly #environment: NodeJS.ProcessEnv
  readonly #context: BuildContext

  private constructor(directory: string, environment: NodeJS.ProcessEnv, context: BuildContext) {
    this.downloadDirectory = join(directory, 'download')
    this.#environment = environment
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
    const environment = await configureApt(directory, sources, context)
    const apt = new PrivateApt(directory, environment, context)
    await mkdir(apt.downloadDirectory)
    await giveToSandbox(apt.downloadDirectory)
    await apt.#fetch('update', '--error-on=any')
    return apt
  }

  /**
   * The packages that an empty system would get with these: their dependencies, nothing recommended.
   *
   * @param packages - names, `name/suite`, or patterns of apt
   * @returns each as `name=version`, for {@link download}
   */
  async closure(packages: readonly string[]): Promise<string[]> {
    const listing = await this.#run('apt-get', [
      'install',
      '--print-uris',
      '--no-install-recommends',
      '-y',
      '-qq',
      ...packages,
    ])
    const files = listing.matchAll(/^'[^']+' ([a-z0-9][a-z0-9.+-]*)_([^_ ]+)_[a-z0-9]+\.deb /gm)
    return [...files].map(([, name, version]) => `${name}=${decodeURIComponent(version!)}`)
  }

  /** The package names in the `Depends` of the newest version of a package. */
  async dependencies(name: string): Promise<string[]> {
    const record = await this.#run('apt-cache', ['show', '--no-all-versions', name])
    const line = /^Depends: (.+)$/m.exec(record)?.[1] ?? ''
    return line.split(',').map((one) => one.trim().split(' ')[0]!)
  }

  /** Fetches packages into {@link downloadDirectory}. @throws CloisterError `guest-image.fetch-failed` */
  async download(packages: readonly string[]): Promise<void> {
    await this.#fetch('download', ...packages)
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
    const place = { cwd: this.downloadDirectory, env: this.#environment }
    return run(program, args, { ...this.#context, ...place })
  }
}

/** Started by root, apt fetches as the user `_apt`, who must be able to write where the packages go. */
async function giveToSandbox(directory: string): Promise<void> {
  if (process.getuid?.() !== 0) return
  const users = await readFile('/etc/passwd', 'utf8')
  const entry = /^_apt:[^:]*:(\d+):/m.exec(users)
  if (entry !== null) await chown(directory, Number(entry[1]), -1)
}

/**
 * Unmodified Debian programs: packages of the guest's suite from this machine's own mirror, verified by apt with a state of its own, unpacked into
 * Cloister's cache and never installed.
 */
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import {
  cp,
  mkdir,
  mkdtemp,
  readdir,
  realpath,
  rename,
  rm,
  symlink,
  writeFile,
} from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { debianMirrors } from '@cloister/image/debian-mirror'
import { LIBRARY_DIRECTORIES, libraryClosure, LOADER } from '@cloister/image/library-closure'
import { PrivateApt } from '@cloister/image/private-apt'
import { GUEST_SUITE } from '@cloister/image/recipe'
import { unpackPackages } from '@cloister/image/unpack'
import { directories } from '@cloister/protocol/directories'

/** With all that they depend on, which is where their libraries come from. */
const PACKAGES = ['attr', 'curl', 'nginx', 'redis-server']

export class DebianSoftware {
  readonly #directory: string

  private constructor(directory: string) {
    this.#directory = directory
  }

  /** Fetched at the first use. */
  static async open(): Promise<DebianSoftware> {
    const { cache } = directories()
    const directory = join(cache, `test-debian-${PACKAGES.join('-')}`)
    if (!existsSync(directory)) await fetchInto(directory, cache)
    return new DebianSoftware(directory)
  }

  /** Everything, as one tree. */
  get tree(): string {
    return join(this.#directory, 'tree')
  }

  /** Runs a program of the tree on this machine, by the tree's own loader and libraries. */
  async run(
    program: string,
    words: readonly string[],
    environment: Readonly<Record<string, string>> = {},
  ): Promise<string> {
    const libraries = LIBRARY_DIRECTORIES.map((folder) => join(this.tree, folder)).join(':')
    const start = ['--library-path', libraries, join(this.tree, program), ...words]
    const { stdout } = await promisify(execFile)(join(this.tree, LOADER), start, {
      env: { ...process.env, ...environment },
      timeout: 60_000,
    })
    return stdout
  }

  /**
   * Lays out a root file system: the packages whole, the libraries of these programs, and the accounts that the packages would make when installed.
   *
   * @param accounts - name to number
   */
  async layOut(
    root: string,
    packages: readonly string[],
    programs: readonly string[],
    accounts: Readonly<Record<string, number>>,
  ): Promise<void> {
    const files = await readdir(join(this.#directory, 'packages'))
    const chosen = packages.map((name) => files.find((file) => file.startsWith(`${name}_`))!)
    await unpackPackages(
      chosen.map((file) => join(this.#directory, 'packages', file)),
      root,
      {},
    )
    const paths = await Promise.all(programs.map((path) => realpath(join(root, path))))
    const libraries = await libraryClosure(this.tree, paths)
    for (const path of [LOADER, ...libraries.values()]) {
      await mkdir(dirname(join(root, path)), { recursive: true })
      await cp(await realpath(join(this.tree, path)), join(root, path))
    }
    // As Debian's base system has it.
    for (const folder of ['bin', 'lib', 'lib64', 'sbin'])
      if (!existsSync(join(root, folder))) await symlink(`usr/${folder}`, join(root, folder))
    for (const folder of ['dev', 'etc', 'proc', 'run', 'sys', 'usr/bin', 'usr/sbin'])
      await mkdir(join(root, folder), { recursive: true })
    const users = Object.entries({ root: 0, ...accounts })
    const passwd = users.map(([name, id]) => `${name}:x:${id}:${id}::/:/usr/sbin/nologin\n`)
    await writeFile(join(root, 'etc/passwd'), passwd.join(''))
    await writeFile(
      join(root, 'etc/group'),
      users.map(([name, id]) => `${name}:x:${id}:\n`).join(''),
    )
  }
}

async function fetchInto(directory: string, cache: string): Promise<void> {
  await mkdir(cache, { recursive: true })
  const work = await mkdtemp(join(cache, 'test-debian-'))
  try {
    const { archive } = await debianMirrors(join(work, 'mirror'), {})
    const apt = await PrivateApt.create(
      join(work, 'apt'),
      [{ address: archive, suite: GUEST_SUITE }],
      {},
    )
    await apt.download(await apt.closure(PACKAGES))
    const done = join(work, 'done')
    await mkdir(done)
    await rename(apt.downloadDirectory, join(done, 'packages'))
    const files = await readdir(join(done, 'packages'))
    await unpackPackages(
      files.map((file) => join(done, 'packages', file)),
      join(done, 'tree'),
      {},
    )
    await rename(done, directory)
  } finally {
    await rm(work, { recursive: true, force: true })
  }
}

/**
 * One owner and one host of a test: the CLI as a user types it, with a home, a runtime directory and a broker of its own. Guest images are those of this
 * user's home, for a test is no reason to build one anew.
 */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { ensureGuestImage } from '@cloister/cli/setup/ensure-guest-image'
import { directories } from '@cloister/protocol/directories'

export const REPOSITORY = join(import.meta.dirname, '../..')
const MAIN = join(REPOSITORY, 'packages/cli/src/main.ts')

/** A guest boots in 8 to 20 s; on a busy machine in several times that. */
const COMMAND_TIMEOUT_MS = 240_000

export interface CliResult {
  readonly exit: number
  readonly stdout: string
  readonly stderr: string
}

export interface CliOptions {
  readonly environment?: Readonly<Record<string, string>>
  readonly timeoutMs?: number
}

export class Deployment implements AsyncDisposable {
  readonly home: string
  readonly runtime: string
  #environment: NodeJS.ProcessEnv

  private constructor(home: string) {
    this.home = home
    this.runtime = join(home, 'run')
    this.#environment = {
      ...process.env,
      CLOISTER_HOME: home,
      CLOISTER_RUNTIME_DIR: this.runtime,
      NO_COLOR: '1',
    }
    delete this.#environment['NODE_TEST_CONTEXT']
  }

  /** Without a broker and without a look at the guest image. */
  static bare(): Deployment {
    const deployment = new Deployment(mkdtempSync(join(tmpdir(), 'cl-e2e-')))
    // QEMU runs as a user of its own, who must reach the runtime directory.
    chmodSync(deployment.home, 0o755)
    const { images } = directories()
    mkdirSync(images, { recursive: true })
    symlinkSync(images, join(deployment.home, 'images'))
    return deployment
  }

  /** With a running broker on a free port. */
  static async create(): Promise<Deployment> {
    const talk = () => undefined
    const signal = AbortSignal.timeout(900_000)
    await ensureGuestImage({ directories: directories(), talk, signal })
    const deployment = Deployment.bare()
    await deployment.succeed('broker', 'start', '--detach', '--listen', '127.0.0.1:0')
    return deployment
  }

  /** Docker configuration for the owner's own access to registries. */
  useDockerConfig(directory: string): void {
    this.#environment = { ...this.#environment, DOCKER_CONFIG: directory }
  }

  async run(words: readonly string[], options: CliOptions = {}): Promise<CliResult> {
    const child = spawn(process.execPath, [MAIN, ...words], {
      env: { ...this.#environment, ...options.environment },
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: options.timeoutMs ?? COMMAND_TIMEOUT_MS,
    })
    let [stdout, stderr] = ['', '']
    child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()))
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()))
    const exit = await new Promise<number>((resolve, reject) => {
      child.once('error', reject)
      child.once('close', (code) => {
        resolve(code ?? -1)
      })
    })
    return { exit, stdout, stderr }
  }

  /** Starts a command that stays, and waits until it has said something. Disposing of it ends it as Ctrl-C does. */
  async start(...words: readonly string[]): Promise<AsyncDisposable> {
    const child = spawn(process.execPath, [MAIN, ...words], {
      env: this.#environment,
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    const ended = once(child, 'exit')
    await Promise.race([once(child.stderr, 'data'), ended])
    assert.equal(child.exitCode, null, `cloister ${words.join(' ')} ended`)
    child.stderr.resume()
    return {
      async [Symbol.asyncDispose]() {
        child.kill('SIGINT')
        await ended
      },
    }
  }

  /** Runs a command that must succeed; its JSON. */
  async succeed(...words: readonly string[]) {
    const { exit, stdout, stderr } = await this.run([...words, '-o', 'json'])
    assert.equal(exit, 0, `cloister ${words.join(' ')}: ${stdout}${stderr}`)
    return JSON.parse(stdout)
  }

  /** Runs a command that must be refused with this code and this exit code. */
  async refuse(
    expected: { readonly code: string; readonly exit: number },
    words: readonly string[],
    options: CliOptions = {},
  ): Promise<void> {
    const { exit, stdout, stderr } = await this.run([...words, '-o', 'json'], options)
    const { error } = JSON.parse(stdout || '{}') as {
      error?: { code: string; why: string; fix: string[] }
    }
    assert.deepEqual({ code: error?.code, exit }, expected, `${stdout}${stderr}`)
    assert.ok(error !== undefined && error.why !== '' && error.fix.length > 0, 'says what to do')
    assert.ok(stderr.includes(expected.code), 'people see the code too')
  }

  /** Files below these places that hold one of the texts, in clear or in base64. */
  async filesWith(texts: readonly string[], ...places: readonly string[]): Promise<string[]> {
    const forms = texts.flatMap((text) => [text, ...base64Forms(text)])
    const patterns = forms.flatMap((form) => ['-e', form])
    const child = spawn('grep', ['-rlaF', '-D', 'skip', ...patterns, ...places], {
      env: { ...process.env, LC_ALL: 'C' },
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    let found = ''
    child.stdout.on('data', (chunk: Buffer) => (found += chunk.toString()))
    await new Promise((resolve) => child.once('close', resolve))
    return found.split('\n').filter((line) => line !== '')
  }

  /** Neither a virtual machine, nor a socket, nor a file of a workload is there any more. */
  async assertNoWorkloadLeft(): Promise<void> {
    const { length } = (await this.succeed('ps', '-a')) as unknown[]
    assert.equal(length, 0, 'no workload is listed')
    // hostd removes the folder after the process has ended; that is soon, not at once.
    const left = () => [...this.#machines(), ...this.#workloadFolders()]
    for (let attempt = 0; attempt < 50 && left().length > 0; attempt++) await sleep(100)
    assert.deepEqual(left(), [])
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { stdout } = await this.run(['ps', '-a', '-o', 'json'])
    for (const { name, kind } of JSON.parse(stdout || '[]') as { name: string; kind: string }[]) {
      const removal = kind === 'vm' ? ['vm', 'rm', name, '--yes'] : ['rm', name]
      await this.run([...removal, '--force'])
    }
    await this.run(['hostd', 'stop'])
    await this.run(['broker', 'stop'])
    for (let attempt = 0; attempt < 100 && this.#processes().length > 0; attempt++) await sleep(100)
    const left = this.#processes()
    for (const pid of left) process.kill(pid, 'SIGKILL')
    rmSync(this.home, { recursive: true, force: true })
    assert.deepEqual(left, [], 'hostd and broker end when they are told to')
  }

  /** Pids of hostd, broker and commands of this deployment. */
  #processes(): number[] {
    return pids().filter((pid) =>
      readProcess(pid, 'environ').split('\0').includes(`CLOISTER_HOME=${this.home}`),
    )
  }

  /** QEMU works in the runtime directory of its VM. */
  #machines(): string[] {
    return pids()
      .map((pid) => linkTarget(`/proc/${pid}/cwd`))
      .filter((folder) => folder.startsWith(`${this.runtime}/`))
  }

  #workloadFolders(): string[] {
    return readdirSync(this.runtime, { recursive: true, encoding: 'utf8' }).filter(
      (path) => !/^(?:vm|hostd\.(?:sock|lock|pid))$/.test(path),
    )
  }
}

/** Base64 of a text within other bytes: what stays the same at each of the three offsets. */
function base64Forms(text: string): string[] {
  return [0, 1, 2].map((shift) => {
    const encoded = Buffer.from(`${'x'.repeat(shift)}${text}`).toString('base64')
    return encoded.slice(shift === 0 ? 0 : 4, -4)
  })
}

function pids(): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
}

function readProcess(pid: number, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8')
  } catch {
    return ''
  }
}

function linkTarget(path: string): string {
  try {
    return readlinkSync(path)
  } catch {
    return ''
  }
}

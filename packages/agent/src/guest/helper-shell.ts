/**
 * Starts the small programs that run beside the agent, all by one shell: Node would fork itself for each, and then take a page fault for each page
 * that it writes next. Under emulation that is 25 ms a program, all of them on the way to the container.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { closeSync, constants, openSync } from 'node:fs'
import { Duplex, type Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import type { ProgramResult, RunOptions } from './program.ts'

type Command = readonly [string, ...string[]]

/** Descriptors of the shell: 0 to 2 are standard and lead nowhere. */
const FIRST = 3

/** Each member asks for something; all of it begins when {@link start} is called. A program that cannot be started shows as one that has ended. */
export class HelperShell {
  /** By descriptor, from {@link FIRST}: a file of ours, or a socket between us and the program. */
  readonly #descriptors: (number | 'pipe')[] = []
  readonly #jobs: Job[] = []
  readonly #started = Promise.withResolvers<ChildProcess>()

  /** A virtio-serial port as a stream, by two relays as in `port.ts`. It fails when one of them ends. */
  async port(device: string): Promise<Duplex> {
    const port = this.#add(openSync(device, constants.O_RDWR))
    const [from, to] = [this.#add('pipe'), this.#add('pipe')]
    this.#jobs.push(
      {
        script: `while :; do busybox cat; busybox sleep 0.2; done <&${port} >&${from}`,
        own: [port, from],
      },
      { script: `exec busybox cat <&${to} >&${port}`, own: [port, to] },
    )
    const [readable, writable] = await Promise.all([this.#stream(from), this.#stream(to)])
    // Nothing comes by it but its end.
    writable.resume().once('end', () => writable.destroy(new Error(`the relay of ${device} ended`)))
    return Duplex.from({ readable, writable })
  }

  /** What a program writes. */
  async output(command: Command): Promise<Readable> {
    const socket = this.#add('pipe')
    this.#jobs.push({ script: `exec ${words(command)} >&${socket}`, own: [socket] })
    return await this.#stream(socket)
  }

  /** As `runProgram`, without an input. */
  async run(command: Command, { settings = {}, pipes = [] }: RunOptions): Promise<ProgramResult> {
    const result = this.#add('pipe')
    const inputs = pipes.map(() => this.#add('pipe'))
    const given = Object.entries(settings).map(([name, value]) => `${name}=${quoted(value)}`)
    const moved = inputs.map((input, index) => `${FIRST + index}<&${input}`)
    // The program's own descriptors are set last: they may have the numbers of others.
    const program = `${[...given, words(command)].join(' ')} >&${result} 2>&1 ${moved.join(' ')}`
    const script = `${program}; printf '\\n%s' "$?" >&${result}`
    this.#jobs.push({ script, own: [result, ...inputs] })
    await Promise.all(
      inputs.map(async (input, index) => {
        const stream = await this.#stream(input)
        // A program that does not want its input, or never began, closes it.
        stream.on('error', () => undefined)
        stream.end(pipes[index])
      }),
    )
    const text = (await buffer(await this.#stream(result))).toString()
    const end = text.lastIndexOf('\n')
    return { status: Number(text.slice(end + 1) || 1), said: text.slice(0, end).slice(0, 4096) }
  }

  start(): void {
    const child = spawn('busybox', ['sh', '-c', this.#script()], {
      stdio: ['ignore', 'ignore', 'ignore', ...this.#descriptors],
    })
    // Its streams have ended then.
    child.once('error', () => undefined)
    for (const descriptor of this.#descriptors) if (descriptor !== 'pipe') closeSync(descriptor)
    this.#started.resolve(child)
  }

  /**
   * Each job in the background, with its own descriptors alone: else the end of a program would not show while another has them. The shell stays:
   * when it ends, Node throws away what nobody has read yet.
   */
  #script(): string {
    const all = this.#descriptors.map((_, index) => FIRST + index)
    const closing = (own: readonly number[]) =>
      all
        .filter((descriptor) => !own.includes(descriptor))
        .map((descriptor) => `${descriptor}>&-`)
        .join(' ')
    const jobs = this.#jobs.map(({ script, own }) => `( ${script} ) ${closing(own)} &`)
    return [...jobs, `exec ${closing([])}`, 'wait'].join('\n')
  }

  #add(descriptor: number | 'pipe'): number {
    return FIRST - 1 + this.#descriptors.push(descriptor)
  }

  async #stream(descriptor: number): Promise<Duplex> {
    return (await this.#started.promise).stdio[descriptor] as unknown as Duplex
  }
}

interface Job {
  readonly script: string
  /** Descriptors that it uses. */
  readonly own: readonly number[]
}

function words(command: Command): string {
  return command.map(quoted).join(' ')
}

function quoted(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`
}

/** Runs containers by crun. What the agent needs of a runtime is an interface, so that tests need none. */
import { spawn, type ChildProcess } from 'node:child_process'
import { mkdirSync, statSync, writeFileSync } from 'node:fs'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Writable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { CloisterError } from '@cloister/protocol/error'
import type { RunProgram } from '../guest/program.ts'
import { LogBuffer } from './log-buffer.ts'
import type { OciProcess, OciSpec } from './oci-spec.ts'

export interface Outputs {
  /** Whether each output is kept; else it goes nowhere. */
  readonly stdout: boolean
  readonly stderr: boolean
  /** Whether the process gets an input; else it reads an empty one. */
  readonly stdin: boolean
}

export interface RunningProcess {
  /** Absent: not kept. */
  readonly stdout: LogBuffer | undefined
  readonly stderr: LogBuffer | undefined
  readonly stdin: Writable | undefined
  /** Exit code, 128 + n after signal n. Rejects with `agent.runtime-failed` when it never ran. */
  readonly exited: Promise<number>
}

export interface Runtime {
  /** Starts a container; settles when its process runs. @throws CloisterError `agent.runtime-failed` */
  start(id: string, spec: OciSpec, outputs: Outputs): Promise<RunningProcess>
  /** Starts a further process in it. */
  exec(id: string, execId: string, process: OciProcess, outputs: Outputs): Promise<RunningProcess>
  /** Signals its first process. */
  signal(id: string, signal: number): Promise<void>
  /** Signals a further process. */
  signalExec(id: string, execId: string, signal: number): Promise<void>
  /** Kills what is left of it. */
  remove(id: string): Promise<void>
}

const START_POLL_MS = 10

export interface CrunOptions {
  readonly run: RunProgram
  /** On tmpfs: bundles, state and logs of crun. */
  readonly directory: string
}

export function crunRuntime({ run, directory }: CrunOptions): Runtime {
  const common = ['--root', join(directory, 'state'), '--cgroup-manager=cgroupfs']
  const place = (id: string) => join(directory, 'bundles', id)
  // The host chooses exec ids: none may name what else lies in the bundle, `config.json` first of all, which crun reads at each exec.
  const execName = (execId: string) => `exec-${execId}`

  const launch = async (
    id: string,
    name: string,
    words: readonly string[],
    outputs: Outputs,
  ): Promise<RunningProcess> => {
    const log = join(place(id), `${name}.log`)
    const pidFile = join(place(id), `${name}.pid`)
    const child = spawn(
      'crun',
      [...common, `--log=${log}`, words[0]!, `--pid-file=${pidFile}`, ...words.slice(1)],
      {
        stdio: [
          outputs.stdin ? 'pipe' : 'ignore',
          outputs.stdout ? 'pipe' : 'ignore',
          outputs.stderr ? 'pipe' : 'ignore',
        ],
      },
    )
    // At once: Node throws away the output of a process that ends before anybody reads.
    const stdout = child.stdout === null ? undefined : new LogBuffer(child.stdout)
    const stderr = child.stderr === null ? undefined : new LogBuffer(child.stderr)
    const exited = exitOf(child, log, pidFile)
    // Until it is handed over: a process that ends at once.
    exited.catch(() => undefined)
    await started(pidFile, exited)
    return { stdout, stderr, stdin: child.stdin ?? undefined, exited }
  }

  return {
    async start(id, spec, outputs) {
      mkdirSync(place(id), { recursive: true, mode: 0o700 })
      writeFileSync(join(place(id), 'config.json'), JSON.stringify(spec), { mode: 0o600 })
      return launch(id, 'init', ['run', `--bundle=${place(id)}`, id], outputs)
    },
    async exec(id, execId, process, outputs) {
      const name = execName(execId)
      const file = join(place(id), `${name}.json`)
      await writeFile(file, JSON.stringify(process), { mode: 0o600 })
      return launch(id, name, ['exec', `--process=${file}`, id], outputs)
    },
    async signal(id, signal) {
      await run(['crun', ...common, 'kill', id, String(signal)])
    },
    async signalExec(id, execId, signal) {
      const pid = Number(await readFile(join(place(id), `${execName(execId)}.pid`), 'latin1'))
      try {
        if (Number.isInteger(pid) && pid > 1) process.kill(pid, signal)
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
      }
    },
    async remove(id) {
      await run(['crun', ...common, 'delete', '--force', id])
      await rm(place(id), { recursive: true, force: true })
    },
  }
}

/** crun ends with the code of the process, once there was one: then it has written its pid. Else the code is its own. */
async function exitOf(child: ChildProcess, log: string, pidFile: string): Promise<number> {
  const ended = Promise.withResolvers<number>()
  child.once('error', ended.reject)
  child.once('exit', (code, signal) => ended.resolve(signal === null ? (code ?? 1) : 137))
  const status = await ended.promise
  if (hasPid(pidFile)) return status
  const said = await readFile(log, 'utf8').catch(() => '')
  throw new CloisterError('agent.runtime-failed', { why: said.trim().slice(-300) })
}

async function started(pidFile: string, exited: Promise<number>): Promise<void> {
  const ended = exited.then(
    () => true,
    () => true,
  )
  while (!hasPid(pidFile))
    if (await Promise.race([ended, sleep(START_POLL_MS, false)])) {
      await exited
      return
    }
}

/** Without a promise: by promises each look takes 4 ms of an emulated processor, which crun needs meanwhile. */
function hasPid(pidFile: string): boolean {
  return (statSync(pidFile, { throwIfNoEntry: false })?.size ?? 0) > 0
}

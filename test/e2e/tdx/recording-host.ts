/** A host with TDX: its /proc and /sys as a fixture, and in place of QEMU a program that keeps what the launcher tells it. */
import {
  appendFile,
  chmod,
  copyFile,
  mkdir,
  mkdtemp,
  readFile,
  rm,
  writeFile,
} from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fakeHostView, XEON_TDX } from '@cloister/launcher/testing/hosts'
import type { VmHost } from '@cloister/launcher/vm-host'

const PROGRAM = join(import.meta.dirname, 'recording-qemu.ts')

export interface RecordingHost extends AsyncDisposable {
  readonly host: VmHost
  /** QEMU's whole command line. */
  words(): Promise<string[]>
  /** Commands on its control socket, with their arguments, in order. */
  dialogue(): Promise<unknown[]>
  /** Absolute path of a file as QEMU got it. */
  file(name: 'bios' | 'kernel' | 'initdata'): string
  /** The guest's end of a port. */
  guestPort(name: 'stage' | 'agent' | 'net'): Promise<Socket>
}

export async function installRecordingHost(): Promise<RecordingHost> {
  // QEMU runs under a uid of its own, which must reach the program and write the records.
  const folder = await mkdtemp(join(tmpdir(), 'cl-td-'))
  const records = join(folder, 'records')
  await chmod(folder, 0o755)
  await mkdir(records)
  await chmod(records, 0o1777)
  const [node, program, qemu] = ['node', 'recording-qemu.ts', 'qemu'].map((name) =>
    join(folder, name),
  ) as [string, string, string]
  await copyFile(process.execPath, node)
  await copyFile(PROGRAM, program)
  await chmod(program, 0o644)
  await writeFile(qemu, `#!/bin/sh\nexec ${node} ${program} "$@"\n`)
  await chmod(qemu, 0o755)
  await appendFile(join(records, 'dialogue'), '')
  await chmod(join(records, 'dialogue'), 0o666)
  const view = fakeHostView(XEON_TDX)
  const found = await view.qemu()
  if (found === undefined) throw new Error('the fixture has a QEMU')
  return {
    host: {
      qemu: { ...found, program: qemu },
      accelerator: 'kvm',
      view,
      openSimulator: () => Promise.reject(new Error('not used')),
    },
    words: async () => JSON.parse(await readFile(join(records, 'words.json'), 'utf8')) as string[],
    dialogue: async () =>
      (await readFile(join(records, 'dialogue'), 'utf8'))
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line) as unknown),
    file: (name) => join(records, name),
    guestPort: async (name) => {
      const socket = connect(join(records, `${name}.guest`))
      await once(socket, 'connect')
      return socket
    },
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  }
}

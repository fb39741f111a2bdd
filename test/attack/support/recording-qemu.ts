/**
 * The host's own QEMU: the real one behind a script that records what the guest says on its ports and sends over its network, and that
 * adds a serial line. Whoever owns a host can run such a thing. The tests can have it lie as well.
 */
import { chmod, mkdir, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { findProgram } from '@cloister/launcher/find-program'

const NAME = 'qemu-system-x86_64'

export interface RecordingQemu extends AsyncDisposable {
  /** Folder of the records of all guests: `<port>.<pid>`, `packets.<pid>` (pcap) and `serial.<pid>`. */
  readonly records: string
  /** Bytes that guests have sent on a port so far. */
  recorded(port: 'agent' | 'net' | 'stage'): Promise<number>
  /** Arguments for guests that start from now on, beyond the launcher's. */
  lie(...args: string[]): Promise<void>
}

/** @returns the reason to skip when there is no QEMU */
export async function findQemu(): Promise<string | false> {
  return (await findProgram(NAME)) === undefined ? `${NAME} is not installed` : false
}

/** Puts it first on this process's PATH, and so on the PATH of every hostd that this process starts. */
export async function installRecordingQemu(): Promise<RecordingQemu> {
  const program = await findProgram(NAME)
  if (program === undefined) throw new Error(`${NAME} is not installed`)
  // QEMU runs under a uid of its own, which must reach the script and write the records.
  const folder = await mkdtemp(join(tmpdir(), 'cl-qemu-'))
  const [records, lies] = [join(folder, 'records'), join(folder, 'lies')]
  await chmod(folder, 0o755)
  await mkdir(records)
  await chmod(records, 0o1777)
  await writeFile(lies, '')
  await writeFile(join(folder, NAME), script(program, records, lies))
  await chmod(join(folder, NAME), 0o755)
  const path = process.env['PATH'] ?? ''
  process.env['PATH'] = `${folder}${delimiter}${path}`
  return {
    records,
    async recorded(port) {
      const files = (await readdir(records)).filter((name) => name.startsWith(`${port}.`))
      const stats = await Promise.all(files.map(async (name) => await stat(join(records, name))))
      return stats.reduce((sum, { size }) => sum + size, 0)
    },
    lie: async (...args) => {
      await writeFile(lies, args.join('\n'))
    },
    async [Symbol.asyncDispose]() {
      process.env['PATH'] = path
      await rm(folder, { recursive: true, force: true })
    },
  }
}

/** Leaves alone what asks QEMU for its abilities: only guests have a net0. */
function script(program: string, records: string, lies: string): string {
  return `#!/bin/sh
guest=
for word do
  shift
  case $word in
    socket,id=agent,* | socket,id=net,* | socket,id=stage,*)
      name=\${word#socket,id=}
      word=$word,logfile=${records}/\${name%%,*}.$$,logappend=on ;;
    user,id=net0,*) guest=yes ;;
  esac
  set -- "$@" "$word"
done
[ -n "$guest" ] || exec ${program} "$@"
IFS='
'
exec ${program} "$@" -serial file:${records}/serial.$$ \\
  -object filter-dump,id=packets,netdev=net0,file=${records}/packets.$$ $(cat ${lies})
`
}

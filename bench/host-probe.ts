/** The capability probe behind `cloister doctor` and `--tee auto`, with what it found out before remembered: every `run` and `vm create` waits for it. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { probeHost } from '@cloister/launcher/probe/probe-host'
import { directories } from '@cloister/protocol/directories'
import { medianMsAsync, type Figure } from './figure.ts'

const MOST_MS = 200

export async function run(): Promise<Figure> {
  const home = mkdtempSync(join(tmpdir(), 'cloister-bench-probe-'))
  const places = directories({ CLOISTER_HOME: home, CLOISTER_RUNTIME_DIR: join(home, 'run') })
  try {
    // The first one asks QEMU, and remembers.
    await probeHost({ directories: places })
    const ours = await medianMsAsync(() => probeHost({ directories: places }))
    return {
      name: 'capability probe, remembered',
      unit: 'ms',
      floor: 0,
      ours,
      promise: `under ${MOST_MS} ms`,
      held: ours < MOST_MS,
    }
  } finally {
    rmSync(home, { recursive: true, force: true })
  }
}

/**
 * The daemon. Started by the first command that needs it, or by a service manager; ends on SIGTERM, SIGINT or a call to `/v1/shutdown`, and
 * guests go on. A bug ends it at once: its state is on disk, and the next hostd takes it up.
 */
import { diskFull } from '@cloister/protocol/disk-full'
import { directories } from '@cloister/protocol/directories'
import { CloisterError } from '@cloister/protocol/error'
import { startDaemon } from './daemon.ts'
import { hostBackend } from './host-backend.ts'

function log(message: string): void {
  process.stderr.write(`${new Date().toISOString()} ${message}\n`)
}

process.umask(0o077)
process.on('uncaughtException', (error) => {
  log(`bug: ${error.stack ?? error.message}`)
  process.exit(1)
})

try {
  const places = directories()
  const daemon = await startDaemon({ directories: places, backend: hostBackend(places), log })
  log(`serving on ${daemon.socketPath}`)
  const signalled = new Promise<void>((resolve) => {
    process.once('SIGTERM', () => resolve())
    process.once('SIGINT', () => resolve())
  })
  await Promise.race([signalled, daemon.shutdownAsked])
  await daemon[Symbol.asyncDispose]()
  log('ended; guests go on')
  process.exit(0)
} catch (thrown) {
  const error = diskFull(thrown) ?? CloisterError.from(thrown)
  // For the command that started it.
  process.stdout.write(JSON.stringify({ error }))
  log(`${error.code}: ${error.message}`)
  process.exit(error.exit)
}

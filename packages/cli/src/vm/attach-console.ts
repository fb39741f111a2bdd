/** This terminal as the serial console of a VM. */
import type { Duplex } from 'node:stream'
import { EscapeWatch } from './escape-watch.ts'

/**
 * What the guest may have left behind on the terminal, taken back: colours, a hidden cursor, application keys, reports of the mouse, bracketed paste,
 * and a scroll region (which moves the cursor, so its place is kept).
 */
const AS_BEFORE =
  '\u001B[0m\u001B[?25h\u001B[?1l\u001B>\u001B[?1000;1002;1003;1006l\u001B[?2004l\u001B7\u001B[r\u001B8'

/**
 * Carries bytes both ways until either end has gone or the escape is typed. The terminal is left as it was.
 *
 * @param options.isViewer - nothing that is typed goes to the guest
 */
export async function attachConsole(
  stream: Duplex,
  { isViewer, signal }: { readonly isViewer: boolean; readonly signal: AbortSignal },
): Promise<void> {
  const { stdin, stdout } = process
  const { promise, resolve } = Promise.withResolvers<void>()
  const watch = new EscapeWatch()
  const onTyped = (bytes: Buffer) => {
    const { forGuest, leaves } = watch.typed(bytes)
    if (!isViewer && forGuest.length > 0) stream.write(forGuest)
    if (leaves) resolve()
  }
  const onEnd = () => {
    // A script that has said all it had to say still sees the answer: it is ended by the guest or by --timeout.
    if (stdin.isTTY) resolve()
  }
  const wasRaw = stdin.isTTY && stdin.isRaw
  if (stdin.isTTY) stdin.setRawMode(true)
  stdin.on('data', onTyped).on('end', onEnd)
  stream.on('data', (bytes: Buffer) => stdout.write(bytes))
  stream.once('error', () => {
    resolve()
  })
  stream.once('close', () => {
    resolve()
  })
  stream.once('end', () => {
    resolve()
  })
  signal.addEventListener(
    'abort',
    () => {
      resolve()
    },
    { once: true },
  )
  try {
    await promise
  } finally {
    stdin.off('data', onTyped).off('end', onEnd)
    stdin.pause()
    if (stdin.isTTY) stdin.setRawMode(wasRaw)
    stream.destroy()
    if (stdout.isTTY) stdout.write(AS_BEFORE)
  }
}

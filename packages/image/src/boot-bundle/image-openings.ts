/**
 * What in an image lets whoever sits at the serial console in, or writes memory to a disk in clear. The console of a measured VM is the host's, so a
 * login without a password there is the host's login.
 */
import { CloisterError } from '@cloister/protocol/error'

import { isThere, type DiskFiles } from '../disk/read/disk-files.ts'

export interface ImageOpenings {
  /** Each in words, with the file: no password, or a shell without one. */
  readonly consoleLogins: readonly string[]
  /** Lines of the fstab that name swap, where no systemd is told to leave swap alone. */
  readonly swaps: readonly string[]
}

const MAX_FILE_BYTES = 1 << 20
const MAX_FILES = 4096
const SHELLS_OF_NOBODY = /\/(?:nologin|false|sync)$/
const DEBUG_SHELL = /\.(?:wants|requires)\/debug-shell\.service$/
/** Where systemd finds units and their drop-ins (systemd.unit(5)), without what is made at run time. */
const UNIT_FOLDERS = [
  '/etc/systemd/system',
  '/usr/local/lib/systemd/system',
  '/usr/lib/systemd/system',
]
const SYSTEMD = ['/usr/lib/systemd/systemd', '/lib/systemd/systemd'] as const
/** agetty(8) and its like: a login without being asked; and login(1) that is told it has been done. */
const AUTOLOGIN = /(?:^|\s)(?:--autologin\b|-a\s+\S|-f\s|-n\s|--skip-login\b)/
const GETTY_UNIT = /(?:getty|autovt)[^/]*\.service$/
const RUNS_SHELL =
  /^\s*ExecStart\s*=\s*[-@:+!|]*(?:\S*\/(?:env|busybox|setsid)\s+)*(?:\S*\/)?(?:ba|da|a|z|k|mk|fi)?sh(?:\s|$)/
/** A program that asks who is there, told that it need not. */
const LOGS_IN = /^\s*ExecStart\s*=.*(?:getty|\/login)\b/
const ON_TERMINAL = /^\s*StandardInput\s*=\s*tty/m
/** A shell at once, whatever the passwords are. */
const FORCED_SULOGIN = /\bSYSTEMD_SULOGIN_FORCE\s*=\s*["']?(?:1|y|t|on)/i
const INITTAB_SHELL =
  /^(?:-?\/(?:usr\/)?bin\/(?:ba|da|a)?sh\b|\S*getty\b.*(?:--autologin|\s-a\s|\s-n\b))/

/** @param root - of the image. @throws CloisterError `disk-image.*` */
export async function findOpenings(root: DiskFiles): Promise<ImageOpenings> {
  const hasSystemd = (await Promise.all(SYSTEMD.map((path) => root.has(path)))).includes(true)
  return {
    consoleLogins: [
      ...(await openAccounts(root)),
      ...(hasSystemd ? await openUnits(root) : []),
      ...(await openInittab(root)),
    ],
    swaps: hasSystemd ? [] : await swapLines(root),
  }
}

/** passwd(5), shadow(5): an empty second field lets in without a password. */
async function openAccounts(root: DiskFiles): Promise<string[]> {
  const passwd = await fields(root, '/etc/passwd')
  const canLogIn = new Map(
    passwd.map(([name = '', , , , , , shell = '']) => [name, !SHELLS_OF_NOBODY.test(shell)]),
  )
  const found: string[] = []
  for (const [path, lines] of [
    ['/etc/passwd', passwd],
    ['/etc/shadow', await fields(root, '/etc/shadow')],
  ] as const)
    for (const [name = '', password] of lines)
      if (password === '' && canLogIn.get(name) === true)
        found.push(`${path}: ${name} has an empty password`)
  return found
}

async function openUnits(root: DiskFiles): Promise<string[]> {
  const found: string[] = []
  for (const folder of UNIT_FOLDERS)
    for (const path of await unitFiles(root, folder)) {
      if (DEBUG_SHELL.test(path)) {
        found.push(`${path}: a root shell without a password is enabled`)
        continue
      }
      const text = await textOf(root, path)
      if (isOpenTerminal(path, text)) found.push(`${path}: a terminal logs in by itself`)
      if (FORCED_SULOGIN.test(withoutComments(text)))
        found.push(`${path}: a failed boot gives a root shell without a password`)
    }
  return found
}

/** Units, their drop-ins and what is enabled by a link: two levels of folders. */
async function unitFiles(root: DiskFiles, folder: string): Promise<string[]> {
  if (!(await root.has(folder))) return []
  const found: string[] = []
  for (const { name, kind } of await root.list(folder)) {
    const path = `${folder}/${name}`
    if (kind === 'directory' && /\.(?:d|wants|requires)$/.test(name))
      found.push(...(await root.list(path)).map((entry) => `${path}/${entry.name}`))
    else if (kind !== 'directory') found.push(path)
    // What was not looked at is not closed.
    if (found.length > MAX_FILES)
      throw new CloisterError('disk-image.too-much', {
        where: folder,
        expected: `${MAX_FILES} units and drop-ins at most`,
      })
  }
  // A link to /dev/null is a unit that is off, and one into nowhere is none.
  return found.filter((path) => /\.(?:service|conf)$/.test(path))
}

function isOpenTerminal(path: string, text: string): boolean {
  const lines = commands(text)
  const isGetty = GETTY_UNIT.test(path.replace(/\.d\/[^/]+\.conf$/, ''))
  if (isGetty) return lines.some((line) => AUTOLOGIN.test(line) || RUNS_SHELL.test(line))
  // What the distribution ships so is off unless it is enabled: above.
  const isOwn = path.startsWith('/etc/') && !path.endsWith('/debug-shell.service')
  if (isOwn && lines.some((line) => LOGS_IN.test(line) && AUTOLOGIN.test(line))) return true
  return isOwn && ON_TERMINAL.test(text) && lines.some((line) => RUNS_SHELL.test(line))
}

/** ExecStart, with continued lines joined (systemd.syntax(7)). */
function commands(text: string): string[] {
  const joined = withoutComments(text).replace(/\\\n/g, ' ')
  return joined.split('\n').filter((line) => /^\s*ExecStart\s*=/.test(line))
}

function withoutComments(text: string): string {
  return text.replace(/^\s*[#;].*$/gm, '')
}

/** inittab(5), of sysvinit and of busybox: `id:levels:action:process`. */
async function openInittab(root: DiskFiles): Promise<string[]> {
  const lines = await fields(root, '/etc/inittab')
  return lines
    .filter(([, , action = '', ...process]) => {
      const runs = !/^(?:sysinit|shutdown|ctrlaltdel|restart|off|wait|boot|bootwait)$/.test(action)
      return runs && INITTAB_SHELL.test(process.join(':').trim())
    })
    .map((line) => `/etc/inittab: ${line.join(':').slice(0, 100)}`)
}

async function swapLines(root: DiskFiles): Promise<string[]> {
  const lines = (await textOf(root, '/etc/fstab')).split('\n')
  return lines
    .map((line) => line.trim())
    .filter((line) => !line.startsWith('#') && line.split(/\s+/)[2] === 'swap')
    .map((line) => `/etc/fstab: ${line.slice(0, 100)}`)
}

async function fields(root: DiskFiles, path: string): Promise<string[][]> {
  const lines = (await textOf(root, path)).split('\n')
  return lines
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => line.split(':'))
}

/** Empty where there is no such file, as with a link into nowhere. */
async function textOf(root: DiskFiles, path: string): Promise<string> {
  if (!(await isThere(root.read(path, MAX_FILE_BYTES)))) return ''
  return (await root.read(path, MAX_FILE_BYTES)).toString('utf8')
}

/**
 * Extended attributes that a layer asks for (pax records `SCHILY.xattr.<name>`). Node has no call that sets them, so they are collected and given to
 * one run of `setfattr` after the layer's last entry, when no change of owner takes file capabilities away again.
 */
import { spawnSync } from 'node:child_process'
import { CloisterError } from '@cloister/protocol/error'
import { refused } from './rootfs-paths.ts'
import { enforceLimit, type UnpackLimits } from './unpack-limits.ts'
import type { TarXattr } from './tar-reader.ts'

export interface LayerXattrsOptions {
  /** Path of setfattr (Debian's package attr). Absent: no attribute is set. */
  readonly program: string | undefined
  /** Whether `security.capability` may be set; needs root. */
  readonly isRoot: boolean
  readonly limits: Pick<UnpackLimits, 'xattrs' | 'xattrBytes'>
}

const CAPABILITY = 'security.capability'
/** vfs_cap_data of revisions 2 and 3, the only ones that the kernel takes. */
const CAPABILITY_BYTES: ReadonlySet<number> = new Set([20, 24])
const USER = 'user.'
/** What overlayfs may read as its own: a layer must not tell it what to show. */
const OVERLAY = 'user.overlay.'
/** XATTR_NAME_MAX; printable, without what has a meaning in the program's input. */
const NAME = /^[!-<>-[\]-~]{1,255}$/
/** XATTR_SIZE_MAX. */
const VALUE_LIMIT = 64 << 10
const TIMEOUT_MS = 120_000

export class LayerXattrs {
  readonly #options: LayerXattrsOptions
  /** Lines of the program's input, by path. */
  readonly #lines = new Map<string, string>()
  #bytes = 0

  constructor(options: LayerXattrsOptions) {
    this.#options = options
  }

  /**
   * Takes the attributes of a file or directory. Those of other kinds (`trusted.*`, other `security.*`, `system.*`) are left out: they steer the host's
   * kernel, not the image's programs.
   *
   * @returns how many are left out
   * @throws CloisterError `image.limit-exceeded`, `image.entry-refused`
   */
  add(path: string, xattrs: readonly TarXattr[]): number {
    const admitted = xattrs.filter(({ name }) => this.#isAdmitted(name))
    if (admitted.length > 0)
      this.#lines.set(path, admitted.map((xattr) => this.#line(path, xattr)).join(''))
    return xattrs.length - admitted.length
  }

  /** Something else is at the path now. */
  forget(path: string): void {
    this.#lines.delete(path)
  }

  /**
   * Sets them; call once, after everything else.
   *
   * @param root - absolute path of the root file system, to which nobody else writes
   * @param isThere - whether the path is still a file or directory, with no link on the way to it
   * @throws CloisterError `image.entry-refused` when the file system or the kernel does not take one
   */
  apply(root: string, isThere: (path: string) => boolean): void {
    const { program } = this.#options
    const paths = [...this.#lines.keys()].filter(isThere)
    if (program === undefined || paths.length === 0) return
    const input = paths.map((path) => `# file: ${quoted(path)}\n${this.#lines.get(path)}\n`)
    const { error, status, stderr } = spawnSync(program, ['--no-dereference', '--restore=-'], {
      cwd: root,
      input: input.join(''),
      env: { LC_ALL: 'C' },
      stdio: ['pipe', 'ignore', 'pipe'],
      encoding: 'utf8',
      timeout: TIMEOUT_MS,
    })
    if (error !== undefined && status === null)
      throw new CloisterError('internal.bug', { why: 'setfattr cannot be run', cause: error })
    if (status === 0) return
    const [first = ''] = stderr.split('\n', 1)
    throw new CloisterError('image.entry-refused', {
      where: 'extended attributes',
      why: `one cannot be set: ${first.replace(/[^ -~]/g, '?').slice(0, 300)}`,
    })
  }

  #isAdmitted(name: string): boolean {
    const { program, isRoot } = this.#options
    if (program === undefined) return false
    return name === CAPABILITY ? isRoot : name.startsWith(USER) && !name.startsWith(OVERLAY)
  }

  #line(path: string, { name, value }: TarXattr): string {
    if (!NAME.test(name)) throw refused(path, 'an extended attribute with an odd name')
    if (name === CAPABILITY && !CAPABILITY_BYTES.has(value.length))
      throw refused(path, 'file capabilities that are none')
    enforceLimit('extended attribute', value.length, VALUE_LIMIT)
    this.#bytes += path.length + name.length + value.length
    enforceLimit('extended attributes of a layer', this.#bytes, this.#options.limits.xattrBytes)
    return `${name}=${value.length === 0 ? '' : `0s${Buffer.from(value).toString('base64')}`}\n`
  }
}

/** All but plain bytes in octal, as setfattr reads them. Not absolute and never an option, whatever the path is. */
function quoted(path: string): string {
  const bytes = Buffer.from(`./${path}`).toString('latin1')
  return bytes.replace(
    /[^A-Za-z0-9._/-]/g,
    (byte) => `\\${byte.charCodeAt(0).toString(8).padStart(3, '0')}`,
  )
}

/** Collects the extended attributes that a layer asks for (pax records `SCHILY.xattr.<name>`), as `set-xattrs` wants them. */
import { refused } from './rootfs-paths.ts'
import { enforceLimit, type UnpackLimits } from './unpack-limits.ts'
import type { TarXattr } from './tar-reader.ts'

export interface LayerXattrsOptions {
  /** Whether any may be set. */
  readonly isAble: boolean
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
   * What setfattr reads to set them (`--restore`); empty when there are none. Call once, after the layer's last entry.
   *
   * @param isThere - whether the path is still a file or directory, with no link on the way to it
   */
  restorable(isThere: (path: string) => boolean): Uint8Array {
    const paths = [...this.#lines.keys()].filter(isThere)
    const input = paths.map((path) => `# file: ${quoted(path)}\n${this.#lines.get(path)}\n`)
    return new TextEncoder().encode(input.join(''))
  }

  #isAdmitted(name: string): boolean {
    const { isAble, isRoot } = this.#options
    if (!isAble) return false
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

/**
 * Units that stand in for file systems which the image's fstab names and this boot does not have: an EFI partition, a separate /boot. systemd
 * would wait for their disks and then give up on the whole boot. Units below /run/systemd/system go before those made from fstab.
 */

export interface OverridingUnit {
  /** File name below /run/systemd/system. */
  readonly file: string
  readonly content: string
}

/** @param mounts - absolute paths without anything to quote */
export function overridingUnits(mounts: readonly string[]): OverridingUnit[] {
  return mounts.map((where) => ({
    file: `${unitName(where)}.mount`,
    content: `[Unit]
Description=Empty ${where}: a measured boot does not use the image's own
DefaultDependencies=no
# The mount point may have to be made, and until then the root is read-only.
After=local-fs-pre.target
Before=local-fs.target umount.target
Conflicts=umount.target

[Mount]
What=tmpfs
Where=${where}
Type=tmpfs
Options=ro,nosuid,nodev,noexec,size=4k,mode=0755
`,
  }))
}

/** systemd.unit(5), "String escaping for inclusion in unit names", for a path. */
export function unitName(path: string): string {
  const inner = path.replace(/^\/+|\/+$/g, '')
  return Array.from(inner, (char, index) => {
    if (char === '/') return '-'
    const isPlain = /[A-Za-z0-9:_]/.test(char) || (char === '.' && index > 0)
    return isPlain ? char : escaped(char)
  }).join('')
}

function escaped(char: string): string {
  return [...Buffer.from(char)].map((byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join('')
}

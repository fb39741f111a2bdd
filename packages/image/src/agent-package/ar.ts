/** Archives of ar(5), as Debian packages are: a magic line, then a 60-byte header of text for each member, padded to even length. */

const MAGIC = '!<arch>\n'

export interface ArMember {
  /** At most 15 characters. */
  readonly name: string
  readonly content: Uint8Array
}

/** @param mtime - whole seconds since 1970, of every member */
export function arArchive(members: readonly ArMember[], mtime: number): Buffer {
  const parts = members.flatMap(({ name, content }) => {
    if (name.length > 15) throw new RangeError(`a member's name is too long: ${name}`)
    const header = [
      name.padEnd(16),
      String(mtime).padEnd(12),
      '0'.padEnd(6),
      '0'.padEnd(6),
      '100644'.padEnd(8),
      String(content.length).padEnd(10),
      '`\n',
    ]
    const padding = content.length % 2 === 0 ? '' : '\n'
    return [Buffer.from(header.join('')), content, Buffer.from(padding)]
  })
  return Buffer.concat([Buffer.from(MAGIC), ...parts])
}

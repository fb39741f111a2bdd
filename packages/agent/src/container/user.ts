/** Who a container runs as: the image's or the workload's `user[:group]`, looked up in the image's own files. */
import { CloisterError } from '@cloister/protocol/error'

export interface ContainerUser {
  readonly uid: number
  readonly gid: number
  /** Further groups that the image's files give the user. */
  readonly additionalGids: readonly number[]
  /** Its home directory; `/` when the image does not say. */
  readonly home: string
}

/** The image's `/etc/passwd` and `/etc/group`; empty when it has none. */
export interface UserFiles {
  readonly passwd: string
  readonly group: string
}

/** uid_t without -1, which means "do not change" to the kernel. */
const MAX_ID = 0xfffffffe

/**
 * @param user - `user`, `user:group`, each a name or a number; empty: root. A number wins over a name of digits.
 * @throws CloisterError `agent.user-unknown`
 */
export function resolveUser(user: string, files: UserFiles): ContainerUser {
  const [name = '', groupName, ...rest] = user.split(':')
  if (rest.length > 0) throw unknown(user)
  const entry = passwdEntry(name === '' ? '0' : name, files.passwd)
  if (groupName !== undefined && groupName !== '') {
    // A group that is named stands alone, as in Docker.
    return { ...entry, gid: groupId(groupName, files.group), additionalGids: [] }
  }
  return { ...entry, additionalGids: groupsOf(entry.name, entry.gid, files.group) }
}

interface PasswdEntry {
  readonly name: string | undefined
  readonly uid: number
  readonly gid: number
  readonly home: string
}

function passwdEntry(user: string, passwd: string): PasswdEntry {
  const id = numberOf(user)
  for (const fields of records(passwd, 7)) {
    const [name, , uidText = '', gidText = '', , home = '/'] = fields
    const uid = numberOf(uidText)
    const gid = numberOf(gidText)
    if (uid === undefined || gid === undefined) continue
    if (id === undefined ? name === user : uid === id)
      return { name, uid, gid, home: home.startsWith('/') ? home : '/' }
  }
  if (id === undefined) throw unknown(user)
  return { name: undefined, uid: id, gid: 0, home: '/' }
}

function groupId(group: string, groups: string): number {
  const id = numberOf(group)
  if (id !== undefined) return id
  for (const [name, , gidText = ''] of records(groups, 4)) {
    const gid = numberOf(gidText)
    if (name === group && gid !== undefined) return gid
  }
  throw unknown(group)
}

function groupsOf(user: string | undefined, own: number, groups: string): number[] {
  const found = new Set<number>()
  for (const [, , gidText = '', members = ''] of records(groups, 4)) {
    const gid = numberOf(gidText)
    if (user === undefined || gid === undefined || gid === own) continue
    if (members.split(',').includes(user)) found.add(gid)
  }
  return [...found].sort((a, b) => a - b)
}

function records(text: string, fields: number): string[][] {
  return text
    .split('\n')
    .map((line) => line.split(':'))
    .filter((record) => record.length === fields)
}

function numberOf(text: string): number | undefined {
  if (!/^\d{1,10}$/.test(text)) return undefined
  const id = Number(text)
  return id <= MAX_ID ? id : undefined
}

function unknown(user: string): CloisterError {
  return new CloisterError('agent.user-unknown', { received: user.slice(0, 100) })
}

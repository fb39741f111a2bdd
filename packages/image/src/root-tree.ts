/** Lays out the root file system as a directory: programs, their libraries, the agent, and a few files of configuration. */
import { chmod, copyFile, mkdir, readFile, readdir, symlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'

import { CloisterError } from '@cloister/protocol/error'
import { GUEST_PROGRAMS } from '@cloister/protocol/guest-names'

import { exists, readContent, writeInto } from './files.ts'
import { LOADER, libraryClosure } from './library-closure.ts'
import { OPENED_LIBRARIES, ROOT_APPLETS, ROOT_PROGRAMS } from './recipe.ts'

const SUPERVISE = new URL('../guest/supervise.sh', import.meta.url)
const CERTIFICATES = 'usr/share/ca-certificates/mozilla'
const LIBRARIES = 'usr/lib/x86_64-linux-gnu'

/** Empty in the image; the guest mounts something on each, or their being there is enough. */
const EMPTY_DIRECTORIES = ['dev', 'proc', 'run', 'sys', 'tmp', 'var/lib/cloister', 'var/tmp', 'mnt']

const LINKS: Readonly<Record<string, string>> = {
  bin: 'usr/bin',
  lib: 'usr/lib',
  lib64: 'usr/lib64',
  sbin: 'usr/sbin',
  'var/run': '../run',
  'usr/sbin/mke2fs': 'mkfs.ext4',
}

const FILES: Readonly<Record<string, string>> = {
  'etc/passwd':
    'root:x:0:0:root:/run:/usr/sbin/nologin\nnobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n',
  'etc/group': 'root:x:0:\ntty:x:5:\nnogroup:x:65534:\n',
  'etc/hostname': 'cloister\n',
  'etc/hosts': '127.0.0.1 localhost\n::1 localhost\n',
  'etc/nsswitch.conf': 'passwd: files\ngroup: files\nhosts: files\n',
  'etc/resolv.conf': '',
  'etc/machine-id': '',
  'etc/os-release': 'ID=cloister\nNAME="Cloister guest"\nPRETTY_NAME="Cloister guest"\n',
}

export interface RootContents {
  /** Unpacked packages. */
  readonly packages: string
  /** Path of the Node binary. */
  readonly node: string
  /** The agent and what it uses, by file name. */
  readonly programs: ReadonlyMap<string, string | Uint8Array>
  /** For `/etc/cloister-image`: what the agent may know about the image it runs in. */
  readonly identity: { readonly imageVersion: number; readonly epoch: number }
}

/** @throws CloisterError `guest-image.content-missing` */
export async function layOutRoot(root: string, contents: RootContents): Promise<void> {
  const { packages, node, programs, identity } = contents
  for (const path of EMPTY_DIRECTORIES) await mkdir(join(root, path), { recursive: true })
  for (const [path, target] of Object.entries(LINKS)) await link(root, path, target)
  for (const [path, text] of Object.entries(FILES)) await writeInto(root, path, text)
  await copyProgram(node, join(root, 'usr/bin/node'))
  for (const [path, source] of Object.entries(ROOT_PROGRAMS))
    await copyProgram(join(packages, source), join(root, path))
  for (const applet of ROOT_APPLETS) await link(root, `usr/bin/${applet}`, 'busybox')
  await copyLibraries(root, packages, node)
  await writeInto(root, 'etc/mke2fs.conf', await readContent(packages, 'etc/mke2fs.conf'))
  await writeInto(root, 'etc/ssl/certs/ca-certificates.crt', await certificates(packages))
  await writeInto(root, 'etc/cloister-image', `${JSON.stringify(identity)}\n`)
  const { directory } = GUEST_PROGRAMS
  for (const [file, code] of programs) await writeInto(root, `${directory}/${file}`, code)
  await writeInto(root, `${directory}/supervise`, await readFile(SUPERVISE), 0o755)
  await fixDirectoryModes(root)
}

async function copyLibraries(root: string, packages: string, node: string): Promise<void> {
  const programs = [node, ...Object.values(ROOT_PROGRAMS).map((path) => join(packages, path))]
  const libraries = await libraryClosure(packages, programs, OPENED_LIBRARIES)
  for (const [name, path] of libraries)
    await writeInto(root, `${LIBRARIES}/${name}`, await readContent(packages, path))
  await writeInto(root, LOADER, await readContent(packages, LOADER), 0o755)
}

/** All certificates in the order of their names, as `update-ca-certificates` would join them. */
async function certificates(packages: string): Promise<string> {
  const names = (await readdir(join(packages, CERTIFICATES))).toSorted()
  const texts = await Promise.all(
    names.map(async (name) => (await readContent(packages, join(CERTIFICATES, name))).toString()),
  )
  return texts.map((text) => `${text.trimEnd()}\n`).join('')
}

async function copyProgram(from: string, to: string): Promise<void> {
  if (!(await exists(from))) throw new CloisterError('guest-image.content-missing', { where: from })
  await mkdir(dirname(to), { recursive: true })
  await copyFile(from, to)
  await chmod(to, 0o755)
}

async function link(root: string, path: string, target: string): Promise<void> {
  await mkdir(dirname(join(root, path)), { recursive: true })
  await symlink(target, join(root, path))
}

/** The umask of whoever builds must not show in the image. */
async function fixDirectoryModes(root: string): Promise<void> {
  const entries = await readdir(root, { recursive: true, withFileTypes: true })
  await chmod(root, 0o755)
  for (const entry of entries)
    if (entry.isDirectory()) await chmod(join(entry.parentPath, entry.name), 0o755)
}

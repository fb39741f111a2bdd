/**
 * Builds the Debian package of the agent (deb(5), format 2.0) without Debian's tools: `debian-binary`, `control.tar.gz`, `data.tar.gz`. The same
 * sources and the same Node give the same bytes.
 */
import { createHash } from 'node:crypto'
import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import { encodeTarHeader, TAR_END, tarPadding, type TarInput } from '@cloister/oci/tar-writer'
import manifest from '../../package.json' with { type: 'json' }
import { arArchive } from './ar.ts'
import {
  CONFIGURATION_FILE,
  MAINTAINER_SCRIPTS,
  packageFiles,
  type PackageContents,
  type PackageFile,
} from './package-files.ts'

const compress = promisify(gzip)

/** 2026-01-01: every file's time. */
const MTIME = 1_767_225_600
const ARCHITECTURES = { x64: 'amd64', arm64: 'arm64' } as const
export type PackageArchitecture = keyof typeof ARCHITECTURES

export interface AgentPackage {
  /** As Debian names it: `cloister-agent_0.1.0_amd64.deb`. */
  readonly fileName: string
  readonly version: string
  readonly bytes: Buffer
  /** Of the bytes, hex. */
  readonly sha256: string
}

export interface AgentPackageOptions extends Partial<PackageContents> {
  /** Of the Node binary. Absent: of this machine. */
  readonly architecture?: PackageArchitecture
}

/** @throws CloisterError `guest-image.agent-bundle-failed` */
export async function buildAgentPackage(options: AgentPackageOptions = {}): Promise<AgentPackage> {
  const { node = process.execPath, architecture = thisArchitecture(), configuration } = options
  const files = await packageFiles({
    node,
    ...(configuration !== undefined && { configuration }),
  })
  const version = manifest.version
  const debian = ARCHITECTURES[architecture]
  const bytes = arArchive(
    [
      { name: 'debian-binary', content: Buffer.from('2.0\n') },
      {
        name: 'control.tar.gz',
        content: await tarball(controlFiles(files, version, debian)),
      },
      { name: 'data.tar.gz', content: await tarball(files) },
    ],
    MTIME,
  )
  return {
    fileName: `cloister-agent_${version}_${debian}.deb`,
    version,
    bytes,
    sha256: createHash('sha256').update(bytes).digest('hex'),
  }
}

function thisArchitecture(): PackageArchitecture {
  return process.arch === 'arm64' ? 'arm64' : 'x64'
}

function controlFiles(
  files: readonly PackageFile[],
  version: string,
  architecture: string,
): readonly PackageFile[] {
  const sums = files.map(
    ({ path, content }) => `${createHash('md5').update(content).digest('hex')}  ${path.slice(1)}\n`,
  )
  const installedKib = files.reduce((kib, { content }) => kib + Math.ceil(content.length / 1024), 0)
  const control = `Package: cloister-agent
Version: ${version}
Architecture: ${architecture}
Maintainer: Cloister <root@localhost>
Installed-Size: ${installedKib}
Depends: libc6 (>= 2.28), libgcc-s1, libstdc++6
Section: admin
Priority: optional
Description: proves this VM to its owner
 Answers the host with evidence over a nonce, from a TEE or the virtual TPM,
 and attests at the broker of the owner where one is configured.
`
  const file = (name: string, content: string, mode = 0o644) => ({
    path: `/${name}`,
    content: Buffer.from(content),
    mode,
  })
  const hasConfiguration = files.some(({ path }) => path === CONFIGURATION_FILE)
  return [
    file('control', control),
    file('md5sums', sums.join('')),
    ...(hasConfiguration ? [file('conffiles', `${CONFIGURATION_FILE}\n`)] : []),
    ...Object.entries(MAINTAINER_SCRIPTS).map(([name, text]) => file(name, text, 0o755)),
  ]
}

async function tarball(files: readonly PackageFile[]): Promise<Buffer> {
  const directories = new Set<string>(['./'])
  const parts: Buffer[] = []
  const add = (entry: Pick<TarInput, 'type' | 'name' | 'mode' | 'size'>, content?: Uint8Array) => {
    parts.push(encodeTarHeader({ ...entry, uid: 0, gid: 0, mtime: MTIME }))
    if (content !== undefined) parts.push(Buffer.from(content), tarPadding(content.length))
  }
  add({ type: '5', name: './', mode: 0o755, size: 0 })
  for (const { path, content, mode } of files) {
    for (const directory of parentsOf(path)) {
      if (directories.has(directory)) continue
      directories.add(directory)
      add({ type: '5', name: directory, mode: 0o755, size: 0 })
    }
    add({ type: '0', name: `.${path}`, mode, size: content.length }, content)
  }
  return await compress(Buffer.concat([...parts, TAR_END]))
}

/** `./usr/`, `./usr/lib/`: those above a file. */
function parentsOf(path: string): string[] {
  const names = path.split('/').slice(1, -1)
  return names.map((_, index) => `./${names.slice(0, index + 1).join('/')}/`)
}

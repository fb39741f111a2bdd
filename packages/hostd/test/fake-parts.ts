/** Files of machines without QEMU's tools: a disk is a plain file, a snapshot a copy beside it. */
import { copyFile, mkdir, open, readdir, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { CloisterError } from '@cloister/protocol/error'
import type { MachineParts } from '../src/machines/machine-parts.ts'

export function fakeParts(): MachineParts {
  return {
    async inspectDisk(path) {
      const found = await stat(path).catch(() => undefined)
      if (found === undefined) throw new CloisterError('disk.not-found', { where: path })
      return { format: 'raw', virtualBytes: found.size }
    },
    async importDisk(source, target, { sizeBytes, signal }) {
      signal?.throwIfAborted()
      await copyFile(source, target)
      const { size } = await stat(target)
      if (sizeBytes !== undefined) await grow(target, sizeBytes)
      return { format: 'qcow2', virtualBytes: sizeBytes ?? size }
    },
    resizeDisk: grow,
    async listSnapshots(path) {
      const names = await snapshotNames(path)
      return names.map((name) => ({ name, at: new Date(0) }))
    },
    async createSnapshot(path, name) {
      if ((await snapshotNames(path)).includes(name)) throw new CloisterError('snapshot.exists')
      await copyFile(path, `${path}.${name}`)
    },
    async restoreSnapshot(path, name) {
      if (!(await snapshotNames(path)).includes(name)) throw new CloisterError('snapshot.not-found')
      await copyFile(`${path}.${name}`, path)
    },
    async deleteSnapshot(path, name) {
      if (!(await snapshotNames(path)).includes(name)) throw new CloisterError('snapshot.not-found')
      await rm(`${path}.${name}`)
    },
    firmwareCode: async (hasSecureBoot) => (hasSecureBoot ? '/secure.fd' : '/plain.fd'),
    async writeVariables(choice, path) {
      await writeFile(path, JSON.stringify(choice))
    },
    async manufactureVtpm({ stateDirectory, key }) {
      await mkdir(stateDirectory)
      await writeFile(key, 'ab'.repeat(32))
    },
    encodeSeed: async (seed) => Buffer.from(JSON.stringify(seed)),
    findBootLog: async () => Buffer.from('log'),
  }
}

async function grow(path: string, sizeBytes: number): Promise<void> {
  if ((await stat(path)).size > sizeBytes) throw new CloisterError('disk.shrink')
  await truncate(path, sizeBytes)
}

async function snapshotNames(path: string): Promise<string[]> {
  const start = `${basename(path)}.`
  const names = await readdir(dirname(path))
  return names.filter((name) => name.startsWith(start)).map((name) => name.slice(start.length))
}

/** A disk image of some bytes. */
export async function makeImage(folder: string, name = 'image.raw', mib = 1): Promise<string> {
  const path = join(folder, name)
  await using file = await open(path, 'w')
  await file.truncate(mib << 20)
  return path
}

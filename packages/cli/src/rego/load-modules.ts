/** Reads Rego modules and JSON or YAML data from files and folders. */
import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { RegoError } from '@cloister/rego'
import { CloisterError } from '@cloister/protocol/error'

export interface SourceFile {
  readonly file: string
  readonly source: string
}

const FILE_BYTES = 16 << 20

/** `.rego` files as they are named and those below named folders. @throws CloisterError `cli.file-unreadable` */
export async function loadModules(paths: readonly string[]): Promise<SourceFile[]> {
  const files = (await Promise.all(paths.map(regoFiles))).flat()
  return await Promise.all(files.map(async (file) => ({ file, source: await readText(file) })))
}

async function regoFiles(path: string): Promise<string[]> {
  const found = await stat(path).catch((cause: unknown) => {
    throw new CloisterError('cli.file-unreadable', { where: path, cause })
  })
  if (!found.isDirectory()) return [path]
  const entries = await readdir(path, { recursive: true, withFileTypes: true })
  return entries
    .filter((entry) => entry.isFile() && entry.name.endsWith('.rego'))
    .map((entry) => join(entry.parentPath, entry.name))
    .sort()
}

export async function readText(file: string): Promise<string> {
  try {
    const { size } = await stat(file)
    if (size > FILE_BYTES) throw new Error(`it is longer than ${FILE_BYTES} bytes`)
    return await readFile(file, 'utf8')
  } catch (cause) {
    throw new CloisterError('cli.file-unreadable', {
      where: file,
      ...(cause instanceof Error && { why: cause.message }),
      cause,
    })
  }
}

/** @throws CloisterError `cli.file-unreadable` */
export function parseJsonFile(text: string, file: string): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new CloisterError('cli.file-unreadable', { where: file, why: 'it is not JSON', cause })
  }
}

/** What a mistake in Rego is for the command line. */
export function regoMistake(error: unknown): unknown {
  if (!(error instanceof RegoError)) return error
  const { file, row, column } = error.toJSON() as { file?: string; row?: number; column?: number }
  return new CloisterError('policy.rego-invalid', {
    why: error.message,
    ...(file !== undefined && { where: `${file}:${row ?? 0}:${column ?? 0}` }),
    cause: error,
  })
}

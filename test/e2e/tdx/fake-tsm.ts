/**
 * A configfs-tsm of provider `tdx_guest` without a kernel: a folder whose entries get their attributes as they are made, as configfs gives them, and in which
 * `outblob` is a quote over what was written to `inblob`.
 */
import fs from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { syncBuiltinESMExports } from 'node:module'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { mock } from 'node:test'

export interface FakeTsm extends AsyncDisposable {
  readonly directory: string
}

export async function installFakeTsm(
  quoteOver: (reportData: Uint8Array) => Uint8Array,
): Promise<FakeTsm> {
  const directory = await mkdtemp(join(tmpdir(), 'cl-tsm-'))
  const isEntry = (path: unknown): path is string =>
    typeof path === 'string' && dirname(path) === directory
  const isAttribute = (path: unknown): path is string =>
    typeof path === 'string' && isEntry(dirname(path))
  const { mkdir, readFile, rmdir } = fs.promises
  const attribute = (path: string): Uint8Array => {
    const written = fs.readFileSync(join(dirname(path), 'inblob'))
    switch (basename(path)) {
      case 'provider':
        return Buffer.from('tdx_guest\n')
      case 'generation':
        return Buffer.from(written.length === 0 ? '0\n' : '1\n')
      case 'outblob':
        return quoteOver(written)
      default:
        throw Object.assign(new Error(path), { code: 'ENOENT' })
    }
  }
  const mocks = [
    mock.method(fs.promises, 'mkdir', async (path: string, options?: fs.MakeDirectoryOptions) => {
      const made = await mkdir(path, options)
      if (isEntry(path)) fs.writeFileSync(join(path, 'inblob'), '')
      return made
    }),
    mock.method(fs.promises, 'readFile', async (path: string, options?: BufferEncoding) => {
      if (!isAttribute(path)) return await readFile(path, options ?? null)
      const bytes = Buffer.from(attribute(path))
      return options === undefined ? bytes : bytes.toString(options)
    }),
    mock.method(fs.promises, 'rmdir', async (path: string) =>
      isEntry(path) ? await rm(path, { recursive: true }) : await rmdir(path),
    ),
  ]
  syncBuiltinESMExports()
  return {
    directory,
    async [Symbol.asyncDispose]() {
      for (const { mock: patched } of mocks) patched.restore()
      syncBuiltinESMExports()
      await rm(directory, { recursive: true, force: true })
    },
  }
}

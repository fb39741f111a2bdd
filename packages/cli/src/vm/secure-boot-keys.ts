/** Own keys for Secure Boot: a folder with `pk`, `kek…`, `db…` and `dbx…` certificates, PEM or DER. */
import { X509Certificate } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { CloisterError } from '@cloister/protocol/error'
import type { DefineVmRequestInput } from '@cloister/protocol/hostd-vm-api'

/** @throws CloisterError `cli.file-unreadable` */
export async function readSecureBootKeys(
  folder: string,
): Promise<DefineVmRequestInput['secureBootKeys']> {
  const names = await readdir(folder).catch((cause: unknown) => {
    throw new CloisterError('cli.file-unreadable', { where: folder, cause })
  })
  const found = { pk: [] as string[], kek: [] as string[], db: [] as string[], dbx: [] as string[] }
  for (const name of names.toSorted()) {
    const [, kind] = /^(pk|kek|dbx|db)[^/]*\.(?:pem|crt|cer|der)$/i.exec(name) ?? []
    if (kind === undefined) continue
    found[kind.toLowerCase() as keyof typeof found].push(await certificate(join(folder, name)))
  }
  const [pk, ...more] = found.pk
  if (pk === undefined || more.length > 0 || found.kek.length === 0 || found.db.length === 0)
    throw new CloisterError('cli.file-unreadable', {
      where: folder,
      why: 'it must hold one certificate named pk, and at least one each named kek and db',
      received: `${found.pk.length} pk, ${found.kek.length} kek, ${found.db.length} db`,
    })
  return { pk, kek: found.kek, db: found.db, dbx: found.dbx }
}

async function certificate(file: string): Promise<string> {
  try {
    return new X509Certificate(await readFile(file)).raw.toString('base64')
  } catch (cause) {
    throw new CloisterError('cli.file-unreadable', {
      where: file,
      why: 'it is no X.509 certificate',
      cause,
    })
  }
}

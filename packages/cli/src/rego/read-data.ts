import { CloisterError } from '@cloister/protocol/error'
import { parse } from 'yaml'
import { parseJsonFile } from './load-modules.ts'

/** A base document: an object, as JSON or YAML by the file's name. @throws CloisterError `cli.file-unreadable` */
export function fromYaml(text: string, file: string): object {
  const value: unknown = /\.ya?ml$/.test(file) ? parseYaml(text, file) : parseJsonFile(text, file)
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value
  throw new CloisterError('cli.file-unreadable', { where: file, why: 'the data is no object' })
}

function parseYaml(text: string, file: string): unknown {
  try {
    return parse(text, { maxAliasCount: 100 }) as unknown
  } catch (cause) {
    throw new CloisterError('cli.file-unreadable', { where: file, why: 'it is not YAML', cause })
  }
}

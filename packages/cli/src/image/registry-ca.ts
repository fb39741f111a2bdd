/** The certificates that a registry's TLS must chain to, where the public ones are not meant. */
import { textOption, type CommandLine, type OptionSpec } from '../command.ts'
import { readInput } from '../read-input.ts'

export const REGISTRY_CA_OPTION: Readonly<Record<'registry-ca', OptionSpec>> = {
  'registry-ca': {
    type: 'string',
    value: 'FILE',
    help: "PEM certificates that the registry's TLS must chain to",
  },
}

const MOST_BYTES = 1 << 20

/** PEM texts; absent: the public roots. @throws CloisterError `cli.file-unreadable` */
export async function readRegistryCa(
  file: string | undefined,
): Promise<readonly string[] | undefined> {
  return file === undefined ? undefined : [(await readInput(file, MOST_BYTES)).toString('utf8')]
}

export async function registryCaOption(line: CommandLine): Promise<readonly string[] | undefined> {
  return await readRegistryCa(textOption(line, 'registry-ca'))
}

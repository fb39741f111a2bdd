/** The image that a command of `image` is about: its name, its registry's certificates, and the name that a local one goes by. */
import { textOption, type Invocation, type OptionSpec } from '../command.ts'
import { openImage, type OpenedImage } from '../workload/open-image.ts'
import { REGISTRY_CA_OPTION, registryCaOption } from './registry-ca.ts'

export const NAMED_IMAGE_OPTIONS: Readonly<Record<'as' | 'registry-ca', OptionSpec>> = {
  as: { type: 'string', value: 'NAME', help: 'name of a local image, host/repository' },
  ...REGISTRY_CA_OPTION,
}

/** @throws CloisterError `image.*`, `registry.*`, `cli.file-unreadable` */
export async function openNamedImage(
  name: string,
  invocation: Invocation,
): Promise<{ opened: OpenedImage; registryCa: readonly string[] | undefined }> {
  const registryCa = await registryCaOption(invocation)
  const as = textOption(invocation, 'as')
  const { directories } = invocation
  return { opened: await openImage(name, { directories, as, registryCa }), registryCa }
}

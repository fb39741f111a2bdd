/** Taking back what the owner registered at the broker: asked first, for there is no way back, and said afterwards. */
import { CloisterError } from '@cloister/protocol/error'
import type { Invocation } from '../command.ts'
import { confirmGrave } from '../confirm.ts'
import { badOption } from '../option-values.ts'

/**
 * @param what - in words, such as `workload api, revision 3`
 * @throws CloisterError `cli.declined`; `owner.nothing-registered` where the broker knows no such thing
 */
export async function withdrawing(
  what: string,
  { output, options, signal }: Invocation,
  withdraw: () => Promise<void>,
): Promise<void> {
  if (!(await confirmGrave(`Withdraw ${what}?`, options['yes'] === true, signal)))
    throw new CloisterError('cli.declined')
  try {
    await withdraw()
  } catch (error) {
    if (!(error instanceof CloisterError && error.code === 'broker.not-found')) throw error
    throw new CloisterError('owner.nothing-registered', { where: what })
  }
  await output.object({ withdrawn: what }, { name: what, text: () => `${what}: withdrawn` })
}

/** Of a revision or of an image, from 1. @throws CloisterError `cli.usage` */
export function versionNumber(text: string): number {
  if (/^[1-9]\d{0,14}$/.test(text)) return Number(text)
  throw badOption('this is no version', 'a whole number from 1', text)
}

import { CloisterError } from '@cloister/protocol/error'
import { ResourcePathSchema } from '@cloister/protocol/workload'

/** `a/b/c` as it is; `name` as `default/secret/name`; `kbs:///a/b/c` without its scheme. @throws CloisterError `cli.usage` */
export function resourcePath(name: string): string {
  const path = name.startsWith('kbs:///') ? name.slice('kbs:///'.length) : name
  const whole = path.includes('/') ? path : `default/secret/${path}`
  if (ResourcePathSchema.safeParse(whole).success) return whole
  throw new CloisterError('cli.usage', {
    why: 'this is no name of a secret',
    expected: 'NAME or repository/type/tag, of letters, digits, _ - and .',
    received: name.slice(0, 80),
  })
}

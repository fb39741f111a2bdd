/** What QEMU tells of a SEV launch over QMP (`query-sev`, qapi/misc-target.json). */
import { CloisterError } from '@cloister/protocol/error'
import type { QmpClient } from '../qmp.ts'
import type { SevLaunch, SevSession } from '../vm-spec.ts'

type Properties = Readonly<Record<string, unknown>>

/**
 * @returns what QEMU answered
 * @throws CloisterError `tee.launch-refused` when SEV is off or a property differs
 */
export async function requireSev(
  qmp: Pick<QmpClient, 'execute'>,
  wanted: Properties,
): Promise<Properties> {
  const answer = (await qmp.execute('query-sev')) as Properties | null
  for (const [name, value] of Object.entries({ enabled: true, ...wanted }))
    if (answer?.[name] !== value)
      throw new CloisterError('tee.launch-refused', {
        where: `query-sev ${name}`,
        expected: JSON.stringify(value),
        received: JSON.stringify(answer?.[name] ?? null).slice(0, 100),
      })
  return answer ?? {}
}

/** The firmware's version, which it measures with the launch. @throws CloisterError `tee.launch-refused` */
export function firmwareApi(answer: Properties): SevLaunch['api'] {
  const member = (name: string): number => {
    const value = answer[name]
    if (Number.isInteger(value) && Number(value) >= 0 && Number(value) < 256) return Number(value)
    throw new CloisterError('tee.launch-refused', {
      where: `query-sev ${name}`,
      received: JSON.stringify(value ?? null).slice(0, 100),
    })
  }
  return { major: member('api-major'), minor: member('api-minor'), build: member('build-id') }
}

/**
 * The owner's part: the measurement goes to the owner, and what the owner answers goes into the guest.
 * @throws CloisterError `tee.launch-refused`, or what the owner throws
 */
export async function exchangeSecret(
  qmp: Pick<QmpClient, 'execute'>,
  session: SevSession,
  api: SevLaunch['api'],
): Promise<void> {
  const answer = (await qmp.execute('query-sev-launch-measure')) as Properties | null
  const measurement = answer?.['data']
  if (typeof measurement !== 'string' || Buffer.from(measurement, 'base64').length !== 48)
    throw new CloisterError('tee.launch-refused', { where: 'query-sev-launch-measure' })
  const release = await session.releaseSecret({ measurement, api })
  if (release === undefined) return
  const { header, secret, address } = release
  await qmp.execute('sev-inject-launch-secret', {
    'packet-header': header,
    secret,
    ...(address !== undefined && { gpa: Number(address) }),
  })
}

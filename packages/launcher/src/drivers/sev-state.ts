/** What QEMU tells of a SEV launch over QMP (`query-sev`, qapi/misc-target.json). */
import { CloisterError } from '@cloister/protocol/error'
import type { QmpClient } from '../qmp.ts'
import type { SevSession } from '../vm-spec.ts'

type Properties = Readonly<Record<string, unknown>>

/** @throws CloisterError `tee.launch-refused` when SEV is off or a property differs */
export async function requireSev(
  qmp: Pick<QmpClient, 'execute'>,
  wanted: Properties,
): Promise<void> {
  const answer = (await qmp.execute('query-sev')) as Properties | null
  for (const [name, value] of Object.entries({ enabled: true, ...wanted }))
    if (answer?.[name] !== value)
      throw new CloisterError('tee.launch-refused', {
        where: `query-sev ${name}`,
        expected: JSON.stringify(value),
        received: JSON.stringify(answer?.[name] ?? null).slice(0, 100),
      })
}

/**
 * The owner's part: the measurement goes to the owner, and what the owner answers goes into the guest.
 * @throws CloisterError `tee.launch-refused`, or what the owner throws
 */
export async function exchangeSecret(
  qmp: Pick<QmpClient, 'execute'>,
  session: SevSession,
): Promise<void> {
  const answer = (await qmp.execute('query-sev-launch-measure')) as Properties | null
  const measurement = answer?.['data']
  if (typeof measurement !== 'string' || Buffer.from(measurement, 'base64').length !== 48)
    throw new CloisterError('tee.launch-refused', { where: 'query-sev-launch-measure' })
  const release = await session.releaseSecret(measurement)
  if (release === undefined) return
  const { header, secret, address } = release
  await qmp.execute('sev-inject-launch-secret', {
    'packet-header': header,
    secret,
    ...(address !== undefined && { gpa: Number(address) }),
  })
}

/** NVIDIA's RIM service: the reference manifest of a driver or VBIOS, by id. */
import { runtimeCrypto } from '#crypto'
import { fromBase64 } from '../bytes/base64.ts'
import { FormatError } from '../bytes/format-error.ts'
import { toHex } from '../bytes/hex.ts'
import { fieldOf, objectOf } from '../formats/json-fields.ts'
import { parseJson } from '../formats/json-text.ts'
import { NVIDIA_MANIFEST_ROOT } from '../nvidia/anchors.ts'
import type { NvidiaCheckCode } from '../nvidia/check-codes.ts'
import type { NvidiaDeviceClaims } from '../nvidia/claims.ts'
import { verifyManifests } from '../nvidia/verify-manifest.ts'
import { CheckList } from '../result/check.ts'
import type { EndorsementClient } from './endorsement-client.ts'
import { EndorsementFetchError } from './fetch-error.ts'

export const RIM_ADDRESS = 'https://rim.attestation.nvidia.com'

export interface RimOptions {
  readonly client: EndorsementClient
  /** Absent: NVIDIA's. */
  readonly address?: string | undefined
  /** SHA-256 of the root of manifests, hex. Absent: NVIDIA's; another is for tests. */
  readonly root?: string | undefined
  readonly signal?: AbortSignal | undefined
}

const FORMAT = 'RIM service answer'
const DAY_MS = 86_400_000
const MAX_BYTES = 2 << 20
const ID = /^[A-Za-z0-9_.-]{1,128}$/
const SWITCH_PREFIX = 'NV_SWITCH_BIOS_5612_0002_890'

/**
 * Ids of the manifests that a device needs, by the names that NVIDIA's tools use: of its driver and VBIOS, or of a switch's BIOS.
 *
 * @param chip - `GH100`, …, the first word of the common name of the device's leaf; a switch's is `LS_10`
 * @returns none for what the report does not say
 */
export function manifestIds(claims: NvidiaDeviceClaims, chip: string): readonly string[] {
  const { driverVersion, vbiosVersion, project, projectSku, chipSku } = claims
  const vbios = vbiosVersion?.replaceAll('.', '').toUpperCase()
  if (chip === 'LS_10') return vbios === undefined ? [] : [`${SWITCH_PREFIX}_${vbios}`]
  const family = chip === 'GH100' ? 'NV_GPU_DRIVER' : 'NV_GPU_CC_DRIVER'
  const parts = [project, projectSku, chipSku, vbios]
  return [
    ...(driverVersion === null ? [] : [`${family}_${chip}_${driverVersion}`]),
    ...(parts.some((part) => part === null || part === undefined)
      ? []
      : [`NV_GPU_VBIOS_${parts.join('_')}`]),
  ]
}

/** The manifest as NVIDIA signed it, XML. Dates of its signer are judged when it is used. @throws EndorsementFetchError, TypeError for a malformed id */
export async function fetchManifest(
  id: string,
  { client, address = RIM_ADDRESS, root = NVIDIA_MANIFEST_ROOT, signal }: RimOptions,
): Promise<Uint8Array> {
  if (!ID.test(id)) throw new TypeError(`no id of a manifest: ${id.slice(0, 64)}`)
  const { value } = await client.get({
    url: `${address}/v1/rim/${id}`,
    headers: { accept: 'application/json' },
    maxBytes: MAX_BYTES,
    freshMs: 7 * DAY_MS,
    signal,
    read: async (body) => {
      const json = objectOf(FORMAT, 'answer', parseJson(FORMAT, body))
      const text = (field: string) => {
        const member = fieldOf(FORMAT, json, field)
        if (typeof member !== 'string') throw new FormatError(FORMAT, field, 0, 'not text')
        return member
      }
      if (text('id') !== id)
        throw new EndorsementFetchError('fetch.content-mismatch', { problem: 'another manifest' })
      const manifest = fromBase64(text('rim'))
      const digest = toHex(await runtimeCrypto.digest('SHA-256', manifest))
      if (text('sha256').toLowerCase() !== digest)
        throw new EndorsementFetchError('fetch.content-mismatch', {
          problem: 'another digest than its own',
        })
      await refuseOther(id, manifest, client.now, root)
      return { value: manifest }
    },
  })
  return value
}

/** The service may err, or lie: what the manifest says of itself is signed, what stands around it is not. */
async function refuseOther(
  id: string,
  manifest: Uint8Array,
  now: Date,
  root: string,
): Promise<void> {
  const checks = new CheckList<NvidiaCheckCode>()
  const [verified] = await verifyManifests([manifest], { now, root }, checks)
  const failed = checks.checks.find(({ outcome }) => outcome === 'fail')
  if (failed?.code === 'nvidia.manifest.malformed')
    throw new FormatError(FORMAT, 'rim', 0, failed.received ?? 'malformed')
  if (failed !== undefined)
    throw new EndorsementFetchError('fetch.content-unsigned', { problem: failed.code })
  const version = verified?.manifest.version
  // Ids of VBIOSes leave the dots out.
  const plain = (text: string) => text.replaceAll('.', '').toUpperCase()
  if (version === undefined || plain(version) !== plain(id.slice(id.lastIndexOf('_') + 1)))
    throw new EndorsementFetchError('fetch.content-mismatch', {
      problem: `a manifest of ${version?.slice(0, 64) ?? 'no version'}`,
    })
}

/** The owner's calls to the broker; shapes in `protocol/broker-admin-api`. */
import type { KeyObject } from 'node:crypto'
import type { z } from 'zod'
import { readAuditLeaf } from '@cloister/protocol/audit-entry'
import {
  ADMIN_PATH,
  AUDIT_LOG_PATH,
  AuditListSchema,
  BrokerStatusSchema,
  GuestImageListSchema,
  EndedInstanceSchema,
  InstanceListSchema,
  PlatformListSchema,
  PutSecretResultSchema,
  SecretListSchema,
  TpmAnchorListSchema,
  WorkloadListSchema,
  WorkloadRevisionSchema,
  type AuditEntry,
  type AuditLeaf,
  type BrokerStatus,
  type GuestImageList,
  type Instance,
  type PlatformList,
  type PutGuestImage,
  type PutIntelCollateral,
  type PutSecret,
  type PutTpmAnchor,
  type PutSecretResult,
  type AnyReleasePolicyInput,
  type SecretList,
  type TpmAnchorList,
  type WorkloadRevision,
} from '@cloister/protocol/broker-admin-api'
import type { Directories } from '@cloister/protocol/directories'
import { CloisterError } from '@cloister/protocol/error'
import { tilePath, type TileName } from '@cloister/protocol/tlog/tiles'
import { adminToken, openAdminKey } from './admin-key.ts'
import { pinnedRequest } from './pinned-connection.ts'
import { readPinnedBroker, type PinnedBroker } from './pinned-broker.ts'

export class BrokerClient {
  readonly pinned: PinnedBroker
  readonly #key: KeyObject
  readonly #signal: AbortSignal | undefined
  readonly #silenceMs: number | undefined

  /** @param silenceMs - after which the broker is given up; absent: as {@link pinnedRequest} has it */
  constructor(pinned: PinnedBroker, key: KeyObject, signal?: AbortSignal, silenceMs?: number) {
    this.pinned = pinned
    this.#key = key
    this.#signal = signal
    this.#silenceMs = silenceMs
  }

  async status(): Promise<BrokerStatus> {
    return await this.#call('GET', '/status', BrokerStatusSchema)
  }

  async putSecret(path: string, secret: PutSecret): Promise<PutSecretResult> {
    return await this.#call('PUT', `/secrets/${path}`, PutSecretResultSchema, secret)
  }

  async secrets(): Promise<SecretList['secrets']> {
    return (await this.#call('GET', '/secrets', SecretListSchema)).secrets
  }

  async removeSecret(path: string): Promise<void> {
    await this.#call('DELETE', `/secrets/${path}`)
  }

  async putReleasePolicy(path: string, policy: AnyReleasePolicyInput): Promise<void> {
    await this.#call('PUT', `/release-policies/${path}`, undefined, policy)
  }

  async putWorkload(name: string, initdata: Uint8Array): Promise<WorkloadRevision> {
    const body = { initdata: Buffer.from(initdata).toString('base64') }
    return await this.#call('PUT', `/workloads/${name}`, WorkloadRevisionSchema, body)
  }

  async workloads(): Promise<readonly WorkloadRevision[]> {
    return (await this.#call('GET', '/workloads', WorkloadListSchema)).workloads
  }

  /** Without a revision: all of them. */
  async withdrawWorkload(name: string, revision?: number): Promise<void> {
    await this.#call(
      'POST',
      `/workloads/${name}/withdraw`,
      undefined,
      revision === undefined ? {} : { revision },
    )
  }

  async putGuestImage(name: string, image: PutGuestImage): Promise<void> {
    await this.#call('PUT', `/guest-images/${name}`, undefined, image)
  }

  async guestImages(): Promise<GuestImageList['guestImages']> {
    return (await this.#call('GET', '/guest-images', GuestImageListSchema)).guestImages
  }

  async withdrawGuestImage(name: string, imageVersion: number): Promise<void> {
    await this.#call('POST', `/guest-images/${name}/withdraw`, undefined, { imageVersion })
  }

  async pinSimulatedRoot(fingerprint: string): Promise<void> {
    await this.#call('PUT', '/anchors/simulated', undefined, { fingerprint })
  }

  /** @param bundle - of endorsements for TDX */
  async putIntelCollateral(bundle: Uint8Array): Promise<void> {
    const body: PutIntelCollateral = { bundle: Buffer.from(bundle).toString('base64') }
    await this.#call('PUT', '/intel-collateral', undefined, body)
  }

  async removeIntelCollateral(fmspc: string): Promise<void> {
    await this.#call('DELETE', `/intel-collateral/${encodeURIComponent(fmspc)}`)
  }

  async tpmAnchors(): Promise<TpmAnchorList['anchors']> {
    return (await this.#call('GET', '/anchors/tpm', TpmAnchorListSchema)).anchors
  }

  async pinTpmAnchor(anchor: PutTpmAnchor): Promise<void> {
    await this.#call('PUT', '/anchors/tpm', undefined, anchor)
  }

  async unpinTpmAnchor(fingerprint: string): Promise<void> {
    await this.#call('DELETE', `/anchors/tpm/${encodeURIComponent(fingerprint)}`)
  }

  async instances(): Promise<readonly Instance[]> {
    return (await this.#call('GET', '/instances', InstanceListSchema)).instances
  }

  /** @returns whether it lived; it is ended for good either way */
  async endInstance(key: string): Promise<boolean> {
    const path = `/instances/${encodeURIComponent(key)}`
    return (await this.#call('DELETE', path, EndedInstanceSchema)).lived
  }

  async platforms(): Promise<PlatformList['platforms']> {
    return (await this.#call('GET', '/platforms', PlatformListSchema)).platforms
  }

  async enrollPlatform(id: string): Promise<void> {
    await this.#call('PUT', `/platforms/${encodeURIComponent(id)}`)
  }

  async removePlatform(id: string): Promise<void> {
    await this.#call('DELETE', `/platforms/${encodeURIComponent(id)}`)
  }

  async putRevocationList(der: Uint8Array): Promise<void> {
    const body = { der: Buffer.from(der).toString('base64') }
    await this.#call('PUT', '/revocation-lists', undefined, body)
  }

  /** Newest first. */
  async audit(filter: {
    requestId?: string
    workload?: string
    limit?: number
  }): Promise<readonly AuditEntry[]> {
    return (await this.auditLeaves(filter)).map(readAuditLeaf)
  }

  /** {@link audit}, as the entries are hashed. */
  async auditLeaves(filter: {
    requestId?: string
    workload?: string
    limit?: number
  }): Promise<readonly AuditLeaf[]> {
    const query = new URLSearchParams()
    for (const [name, value] of Object.entries(filter)) query.set(name, String(value))
    return (await this.#call('GET', `${AUDIT_LOG_PATH}?${query}`, AuditListSchema)).entries
  }

  /** Size and root of the audit's log, signed; as text. */
  async auditCheckpoint(): Promise<string> {
    return (await this.#request('GET', `${AUDIT_LOG_PATH}/checkpoint`)).toString('utf8')
  }

  /** @throws CloisterError `broker.audit-pruned` for entries that are not kept any more */
  async auditTile(name: TileName): Promise<Buffer> {
    return await this.#request('GET', `${AUDIT_LOG_PATH}/tile/${tilePath(name)}`)
  }

  #call(method: string, path: string, schema?: undefined, body?: object): Promise<undefined>
  #call<Shape extends z.ZodType>(
    method: string,
    path: string,
    schema: Shape,
    body?: object,
  ): Promise<z.infer<Shape>>
  async #call(method: string, path: string, schema?: z.ZodType, body?: object): Promise<unknown> {
    const answer = await this.#request(method, path, body)
    if (schema === undefined) return undefined
    const parsed = schema.safeParse(json(answer))
    if (parsed.success) return parsed.data
    throw new CloisterError('owner.broker-answer-malformed', { where: path, cause: parsed.error })
  }

  async #request(method: string, path: string, body?: object): Promise<Buffer> {
    const { status, body: answer } = await pinnedRequest({
      url: new URL(`${ADMIN_PATH}${path}`, this.pinned.url),
      spki: this.pinned.spki,
      method,
      headers: {
        authorization: `Bearer ${await adminToken(this.#key, this.pinned.url)}`,
        ...(body !== undefined && { 'content-type': 'application/json' }),
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
      ...(this.#silenceMs !== undefined && { silenceMs: this.#silenceMs }),
      signal: this.#signal,
    })
    if (status >= 300) throw CloisterError.fromJSON(json(answer))
    return answer
  }
}

function json(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'))
  } catch (cause) {
    throw new CloisterError('owner.broker-answer-malformed', { cause })
  }
}

/** The pinned broker. @throws CloisterError `owner.broker-unpinned` when there is none */
export function openBroker(directories: Directories, signal?: AbortSignal): BrokerClient {
  const pinned = readPinnedBroker(directories)
  if (pinned === undefined) throw new CloisterError('owner.broker-unpinned')
  return new BrokerClient(pinned, openAdminKey(directories), signal)
}

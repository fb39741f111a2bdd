/** Opening wrapped layer keys: with a key-encryption key from the key broker, or with several unwrappers in turn. */
import { createDecipheriv } from 'node:crypto'
import { CloisterError } from '@cloister/protocol/error'
import {
  layerKey,
  publicOptions,
  wrappedKeys,
  type LayerKey,
  type Packet,
  type UnwrapKey,
} from './ocicrypt.ts'
import type { Descriptor } from './manifest.ts'

export interface BrokerUnwrapperOptions {
  /** Resource paths (`repository/type/tag`) that the workload may use. Absent: whatever the broker releases to it. */
  readonly allowed?: readonly string[]
  /** Fetches a resource from the broker; called once for each path. */
  readonly getResource: (path: string, signal?: AbortSignal) => Promise<Uint8Array>
}

const RESOURCE_URI = /^kbs:\/\/\/([\w-][\w.-]*\/[\w-][\w.-]*\/[\w-][\w.-]*)$/
const GCM_TAG_SIZE = 16

/** Opens attestation-agent packets whose `kid` is `kbs:///repository/type/tag`. */
export function brokerUnwrapper(options: BrokerUnwrapperOptions): UnwrapKey {
  const keys = new Map<string, Promise<Uint8Array>>()
  return async (wrapped, signal) => {
    if (wrapped.scheme !== 'provider' || wrapped.packet.provider !== 'kbs') return undefined
    const path = resourcePath(wrapped.packet.kid)
    if (options.allowed !== undefined && !options.allowed.includes(path))
      throw new CloisterError('image.key-refused', {
        expected: options.allowed.join(', ') || 'no key',
        received: path,
      })
    const key = keys.get(path) ?? options.getResource(path, signal)
    keys.set(path, key)
    return openPacket(wrapped.packet, await key)
  }
}

/** `repository/type/tag` of a `kbs:///` key id. A key id that names a broker is refused: the workload's own broker is the only one. */
export function resourcePath(kid: string): string {
  const path = RESOURCE_URI.exec(kid)?.[1]
  if (path === undefined)
    throw new CloisterError('image.key-refused', {
      expected: 'kbs:///repository/type/tag',
      received: kid.slice(0, 200),
    })
  return path
}

/** A256GCM with the tag at the end and no associated data. */
export function openPacket(packet: Packet, key: Uint8Array): Uint8Array {
  const iv = Buffer.from(packet.iv ?? '', 'base64')
  const wrapped = Buffer.from(packet.wrapped_data, 'base64')
  if (packet.wrap_type !== 'A256GCM' || iv.length !== 12 || wrapped.length <= GCM_TAG_SIZE)
    throw new CloisterError('image.decryption-failed', {
      where: packet.kid,
      why: 'the key packet is not A256GCM with a 12-byte iv',
    })
  if (key.length !== 32)
    throw new CloisterError('image.decryption-failed', {
      where: packet.kid,
      why: 'the resource that the key id names is not a 32-byte key',
    })
  try {
    const decipher = createDecipheriv('aes-256-gcm', key, iv)
    decipher.setAuthTag(wrapped.subarray(-GCM_TAG_SIZE))
    return Buffer.concat([decipher.update(wrapped.subarray(0, -GCM_TAG_SIZE)), decipher.final()])
  } catch {
    throw new CloisterError('image.decryption-failed', {
      where: packet.kid,
      why: 'the wrapped key was not made with this key',
    })
  }
}

/**
 * The key of an encrypted layer, by the first recipient that opens. Throws what the first recipient of ours failed with, else
 * `image.key-missing`.
 */
export async function unwrapLayerKey(
  layer: Descriptor,
  unwrapKey: UnwrapKey | undefined,
  signal?: AbortSignal,
): Promise<LayerKey> {
  const options = publicOptions(layer)
  let failure: unknown
  for (const wrapped of wrappedKeys(layer)) {
    try {
      const opened = await unwrapKey?.(wrapped, signal)
      if (opened !== undefined) return layerKey(options, opened)
    } catch (error) {
      signal?.throwIfAborted()
      failure ??= error
    }
  }
  throw failure ?? new CloisterError('image.key-missing', { where: layer.digest })
}

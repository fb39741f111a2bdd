/** Pushes to a repository in a registry (distribution-spec 1.1, "push"): blobs in one streamed upload, then documents. */
import { CloisterError } from '@cloister/protocol/error'
import { sha256Digest } from './digest.ts'
import { discardBody, type HttpResponse } from './http-message.ts'
import { BlobMeter, type ImageSink } from './image-sink.ts'
import { RegistryClient, type RegistryOptions } from './registry-client.ts'
import type { Descriptor } from './manifest.ts'

export class RegistrySink implements ImageSink {
  readonly name: string
  readonly #client: RegistryClient

  constructor(options: Omit<RegistryOptions, 'access'>) {
    this.#client = new RegistryClient({ ...options, access: 'pull,push' })
    this.name = this.#client.name
  }

  async hasBlob(digest: string): Promise<boolean> {
    const response = await this.#client.request({
      method: 'HEAD',
      url: this.#client.path(`blobs/${digest}`),
      headers: {},
    })
    if (response.status !== 404) await this.#client.expectStatus(response, [200], digest)
    await discardBody(response)
    return response.status === 200
  }

  /** Starts the upload, streams the bytes, then commits them under the digest that they turned out to have. */
  async putBlob(content: AsyncIterable<Uint8Array>): Promise<{ digest: string; size: number }> {
    const begun = await this.#client.request({
      method: 'POST',
      url: this.#client.path('blobs/uploads/'),
      headers: { 'content-length': '0' },
    })
    const session = await this.#uploadUrl(begun, undefined)
    const meter = new BlobMeter()
    const sent = await this.#client.request({
      method: 'PATCH',
      url: session,
      headers: { 'content-type': 'application/octet-stream' },
      body: meter.measure(content),
    })
    const commit = await this.#uploadUrl(sent, session)
    const blob = meter.result()
    commit.searchParams.set('digest', blob.digest)
    const done = await this.#client.request({
      method: 'PUT',
      url: commit,
      headers: { 'content-length': '0' },
    })
    await this.#client.expectStatus(done, [201], blob.digest)
    await discardBody(done)
    return blob
  }

  async putDocument(bytes: Uint8Array, mediaType: string, tag?: string): Promise<Descriptor> {
    const digest = sha256Digest(bytes)
    const response = await this.#client.request({
      method: 'PUT',
      url: this.#client.path(`manifests/${tag ?? digest}`),
      headers: { 'content-type': mediaType, 'content-length': String(bytes.length) },
      body: bytes,
    })
    await this.#client.expectStatus(response, [201], tag ?? digest)
    await discardBody(response)
    return { mediaType, digest, size: bytes.length }
  }

  /** Where the upload goes on. Bytes of an image go to the registry that was named, nowhere else. */
  async #uploadUrl(response: HttpResponse, before: URL | undefined): Promise<URL> {
    await this.#client.expectStatus(response, [202], 'blob upload')
    await discardBody(response)
    const url = this.#client.resolve(response.headers['location'] ?? before?.href ?? '')
    if (url === undefined)
      throw new CloisterError('registry.redirect-refused', {
        where: this.name,
        why: 'it names another host for an upload',
      })
    return url
  }
}

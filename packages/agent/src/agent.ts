/**
 * The life of a container's guest after its initdata was found to be the measured one: attest once, pull, make scratch space, serve the host,
 * run the container. Everything that touches the machine comes in as a value.
 */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Workload } from '@cloister/protocol/workload'
import { Container } from './container/container.ts'
import { readUserFiles } from './container/image-files.ts'
import { containerSpec, type BoundFile, type OciSpec } from './container/oci-spec.ts'
import type { Runtime } from './container/runtime.ts'
import { placeSecrets, releaseSecrets, type ReleasedSecret } from './container/secrets.ts'
import { resolveUser } from './container/user.ts'
import { Guest, type GuestParts } from './guest.ts'
import type { PulledImage, PullImage } from './image/pull.ts'
import type { BoundInitdata } from './initdata-binding.ts'
import { makeGuestKey } from './keys.ts'
import type { RawAttestation } from './rest/server.ts'
import { agentMethods } from './service/agent-service.ts'

export interface Machine extends GuestParts {
  readonly runtime: Runtime
  readonly pullImage: PullImage
  /** Settles when the scratch space is mounted. */
  readonly scratch: Promise<void>
  /** Where it is mounted. */
  readonly scratchDirectory: string
  /** On tmpfs, for files that are bound into the container. */
  readonly runDirectory: string
}

/**
 * Runs until the host destroys the sandbox.
 *
 * @throws CloisterError what ended it; the VM must end too
 */
export async function runAgent(machine: Machine, bound: BoundInitdata<Workload>): Promise<void> {
  const agent = new GuestAgent(machine, bound)
  await agent.run()
}

class GuestAgent {
  readonly #machine: Machine
  readonly #bound: BoundInitdata<Workload>
  readonly #guest: Guest

  constructor(machine: Machine, bound: BoundInitdata<Workload>) {
    this.#machine = machine
    this.#bound = bound
    this.#guest = new Guest(machine, bound)
  }

  async run(): Promise<void> {
    const destroyed = Promise.withResolvers<void>()
    const { workload } = this.#bound
    const prepared = this.#guest.telling(this.#prepare())
    prepared.catch((error: unknown) => void this.#guest.fail(error))
    const container = new Container({
      workload,
      runtime: this.#machine.runtime,
      prepared,
      onStarted: () => this.#guest.started(),
      onExited: () => this.#guest.reach('exited'),
    })
    this.#guest.serveHost(agentMethods({ container, onDestroy: () => destroyed.resolve() }))
    await this.#guest.serveLocal(
      workload.container.resources,
      workload.hostPolicy.rawAttestationApi ? this.#rawAttestation() : undefined,
    )
    await this.#guest.until(destroyed.promise)
  }

  /** Attestation, scratch space, image, secrets: what can go on at once does. */
  async #prepare(): Promise<OciSpec> {
    const guest = this.#guest
    const { workload } = this.#bound
    const { scratch, scratchDirectory, pullImage } = this.#machine
    const { signal } = guest
    await guest.attest()
    guest.reach('pull')
    const rootfs = join(scratchDirectory, 'rootfs')
    const getResource = (path: string) => guest.broker.getResource(path, signal)
    const [image, secrets] = await Promise.all([
      pullImage({
        workload,
        directory: rootfs,
        place: scratch,
        openTarget: (target) => guest.openTarget(target),
        getResource,
        signal,
      }),
      releaseSecrets(workload.container.secrets, getResource),
    ])
    guest.imageDigest = image.digest
    guest.reach('unpacked')
    const spec = await this.#specOf(image, rootfs, secrets)
    guest.reach('ready')
    return spec
  }

  async #specOf(
    image: PulledImage,
    rootfs: string,
    secrets: readonly ReleasedSecret[],
  ): Promise<OciSpec> {
    const { container, name, network } = this.#bound.workload
    const { runDirectory } = this.#machine
    const user = resolveUser(
      container.user ?? image.config.config?.User ?? '',
      await readUserFiles(rootfs),
    )
    const placed = await placeSecrets(secrets, user, join(runDirectory, 'secrets'))
    const names = await nameFiles(join(runDirectory, 'names'), name, network.egress)
    return containerSpec({
      workload: this.#bound.workload,
      image: image.config,
      user,
      rootfs,
      secretEnv: placed.env,
      files: [...names, ...placed.files],
    })
  }

  /** What the initdata opened: the container may speak as this guest, with keys of its own. */
  #rawAttestation(): RawAttestation {
    return {
      evidence: async (runtimeData) => {
        const reportData = new Uint8Array(64)
        reportData.set(runtimeData)
        return (await this.#machine.attester.attest(reportData)).json
      },
      token: async () => {
        const key = makeGuestKey()
        const { token } = await this.#guest.brokerClient(key).attest(this.#guest.signal)
        const pem = key.privateKey.export({ type: 'pkcs8', format: 'pem' })
        return JSON.stringify({ token, tee_keypair: pem })
      },
    }
  }
}

/** The files by which a container knows its own name and who resolves others. */
async function nameFiles(
  directory: string,
  name: string,
  egress: 'none' | 'user',
): Promise<BoundFile[]> {
  const texts = {
    hostname: `${name}\n`,
    hosts: `127.0.0.1 localhost\n::1 localhost\n127.0.1.1 ${name}\n`,
    'resolv.conf': egress === 'user' ? 'nameserver 10.0.2.3\n' : '',
  }
  await mkdir(directory, { recursive: true, mode: 0o755 })
  const files: BoundFile[] = []
  for (const [file, text] of Object.entries(texts)) {
    await writeFile(join(directory, file), text, { mode: 0o644 })
    files.push({ source: join(directory, file), destination: `/etc/${file}` })
  }
  return files
}

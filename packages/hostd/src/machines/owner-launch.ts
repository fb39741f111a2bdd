/**
 * A launch under SEV in which the owner takes part: the guest stands still from the firmware's measurement until its owner, who checks that, has answered
 * with a secret for it or refused it.
 */
import type { SevLaunch, SevSecret, SevSession } from '@cloister/launcher/vm-spec'
import { CloisterError } from '@cloister/protocol/error'
import type { SevLaunchRequest } from '@cloister/protocol/hostd-vm-api'
import { within } from '../within.ts'

/** Of a command that checks a measurement, not of a person. */
const ANSWER_MS = 60_000

export class OwnerLaunch {
  /** For the launcher. */
  readonly session: SevSession
  readonly #measured = Promise.withResolvers<SevLaunch>()
  readonly #answer = Promise.withResolvers<SevSecret>()
  #started: Promise<void> = Promise.resolve()

  constructor({ certificate, session }: SevLaunchRequest, answerMs = ANSWER_MS) {
    this.session = {
      certificate,
      session,
      releaseSecret: async (launch) => {
        this.#measured.resolve(launch)
        const secret = await within(this.#answer.promise, answerMs)
        if (secret === undefined) throw new CloisterError('vm.launch-unanswered')
        return secret
      },
    }
    this.#answer.promise.catch(() => undefined)
    this.#measured.promise.catch(() => undefined)
  }

  /**
   * @param started - settles when the guest runs, or does not
   * @param owner - fires when the measurement reaches nobody; the launch is refused then
   * @returns what the firmware measured
   */
  async measured(started: Promise<void>, owner: AbortSignal): Promise<SevLaunch> {
    this.#started = started
    started.catch((error: unknown) => this.#measured.reject(error))
    const leave = () => void this.refuse()
    owner.addEventListener('abort', leave, { once: true })
    if (owner.aborted) leave()
    return await this.#measured.promise
  }

  /** Resolves when the guest runs. */
  async answer(secret: SevSecret): Promise<void> {
    this.#answer.resolve(secret)
    await this.#started
  }

  /** Resolves when nothing of the launch is left. */
  async refuse(): Promise<void> {
    this.#answer.reject(new CloisterError('vm.launch-refused'))
    await this.#started.catch(() => undefined)
  }
}

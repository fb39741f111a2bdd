import type { Output } from '../output.ts'

/** Times the stages of a run and tells them as they come and go. */
export interface StageTime {
  readonly name: string
  readonly seconds: number
}

export class StageClock {
  readonly stages: StageTime[] = []
  readonly #output: Pick<Output, 'talk' | 'waiting' | 'interactive'>
  readonly #now: () => number

  constructor(
    output: Pick<Output, 'talk' | 'waiting' | 'interactive'>,
    now: () => number = () => performance.now(),
  ) {
    this.#output = output
    this.#now = now
  }

  /** Runs one stage; its line shows the time it took and what it found. */
  async stage<Result>(
    name: string,
    work: () => Promise<Result>,
    found: (result: Result) => string = () => '',
  ): Promise<Result> {
    const start = this.#now()
    // A terminal shows it only as long as it lasts.
    if (this.#output.interactive) this.#output.waiting(`  ...   ${name}`)
    else this.#output.talk(`  ...   ${name}`)
    const result = await work()
    const seconds = Math.round((this.#now() - start) / 10) / 100
    this.stages.push({ name, seconds })
    this.#output.waiting(undefined)
    this.#output.talk(
      `  ok    ${name.padEnd(22)} ${`${seconds.toFixed(1)} s`.padStart(8)}   ${found(result)}`.trimEnd(),
    )
    return result
  }
}

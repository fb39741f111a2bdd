/** Times the stages of a run and tells them as they come and go. */
export interface StageTime {
  readonly name: string
  readonly seconds: number
}

export class StageClock {
  readonly stages: StageTime[] = []
  readonly #talk: (line: string) => void
  readonly #now: () => number

  constructor(talk: (line: string) => void, now: () => number = () => performance.now()) {
    this.#talk = talk
    this.#now = now
  }

  /** Runs one stage; its line shows the time it took and what it found. */
  async stage<Result>(
    name: string,
    work: () => Promise<Result>,
    found: (result: Result) => string = () => '',
  ): Promise<Result> {
    const start = this.#now()
    this.#talk(`  ...   ${name}`)
    const result = await work()
    const seconds = Math.round((this.#now() - start) / 10) / 100
    this.stages.push({ name, seconds })
    this.#talk(
      `  ok    ${name.padEnd(22)} ${`${seconds.toFixed(1)} s`.padStart(8)}   ${found(result)}`.trimEnd(),
    )
    return result
  }
}

/** Reports of the simulated secure processor, over the port `cloister.tee`. It protects nothing; see docs/limits.md. */
import { randomBytes } from 'node:crypto'
import type { Duplex } from 'node:stream'
import { CloisterError } from '@cloister/protocol/error'
import { TEE_PORT_LIMITS, TeeAnswerSchema, type TeeAnswer } from '@cloister/protocol/tee-port'
import type { ReportSource } from './attester.ts'

const ANSWER_TIMEOUT_MS = 30_000
/** The simulator answers nothing while its host process restarts; then the question is put again. */
const REPEAT_MS = 5_000

export function simulatedSource(port: Duplex): ReportSource {
  const lines = new Lines(port)
  return async (reportData) => {
    const id = randomBytes(8).toString('hex')
    const request = {
      id,
      op: 'report',
      reportData: Buffer.from(reportData).toString('hex'),
      vmpl: 0,
    }
    const ask = () => port.write(`${JSON.stringify(request)}\n`)
    const repeat = setInterval(ask, REPEAT_MS)
    try {
      ask()
      const answer = await lines.answer(id, ANSWER_TIMEOUT_MS)
      if ('error' in answer) throw failed(`the simulator answered "${answer.error}"`)
      return {
        report: Buffer.from(answer.report, 'base64'),
        certificates: Buffer.from(answer.certificates, 'base64'),
      }
    } finally {
      clearInterval(repeat)
    }
  }
}

/** Attacker-controlled: every line. Those that answer no question of ours mean nothing: the port keeps what was for others. */
class Lines {
  readonly #waiting = new Map<string, (answer: TeeAnswer) => void>()
  #rest = ''

  constructor(port: Duplex) {
    port.on('data', (chunk: Buffer) => this.#push(chunk.toString('latin1')))
  }

  async answer(id: string, timeoutMs: number): Promise<TeeAnswer> {
    const { promise, resolve, reject } = Promise.withResolvers<TeeAnswer>()
    const timer = setTimeout(() => reject(failed('no answer in time')), timeoutMs)
    this.#waiting.set(id, resolve)
    try {
      return await promise
    } finally {
      clearTimeout(timer)
      this.#waiting.delete(id)
    }
  }

  #push(text: string): void {
    const lines = (this.#rest + text).split('\n')
    this.#rest = lines.pop() ?? ''
    if (this.#rest.length > TEE_PORT_LIMITS.answerBytes) this.#rest = ''
    for (const line of lines) this.#read(line)
  }

  #read(line: string): void {
    if (line.length > TEE_PORT_LIMITS.answerBytes) return
    let value: unknown
    try {
      value = JSON.parse(line)
    } catch {
      return
    }
    const answer = TeeAnswerSchema.safeParse(value)
    if (answer.success) this.#waiting.get(answer.data.id)?.(answer.data)
  }
}

function failed(why: string): CloisterError {
  return new CloisterError('agent.report-failed', { why })
}

/** Counters in the Prometheus text format. Names and labels come from the code alone, so their number is bounded. */

const HELP = {
  kbs_auth_requests_total: 'Requests for a challenge',
  kbs_attestation_requests_total: 'Evidence received',
  kbs_attestation_successes_total: 'Evidence accepted',
  kbs_attestation_failures_total: 'Evidence refused',
  kbs_policy_evaluations_total: 'Release decisions',
  kbs_policy_approvals_total: 'Release decisions that allowed',
  kbs_policy_violations_total: 'Release decisions that denied',
  kbs_http_requests_total: 'Requests by class of answer',
  kbs_connections_refused_total: 'Connections of addresses that opened too many too fast',
} as const

export type MetricName = keyof typeof HELP
/** By the first digit of a status. */
const RESPONSES = [0, 1, 2, 3, 4, 5].map((digit) => `kbs_http_requests_total{code="${digit}xx"}`)

export class Metrics {
  readonly #counters = new Map<string, number>()

  count(name: MetricName): void {
    this.#add(name)
  }

  countResponse(status: number): void {
    this.#add(RESPONSES[Math.floor(status / 100)] ?? 'kbs_http_requests_total')
  }

  #add(series: string): void {
    this.#counters.set(series, (this.#counters.get(series) ?? 0) + 1)
  }

  text(): string {
    const series = [...this.#counters]
    const blocks = Object.entries(HELP).map(([name, help]) => {
      const values = series.filter(([key]) => key === name || key.startsWith(`${name}{`))
      const lines = values.map(([key, value]) => `${key} ${value}\n`)
      return `# HELP ${name} ${help}\n# TYPE ${name} counter\n${lines.join('') || `${name} 0\n`}`
    })
    return blocks.join('')
  }
}

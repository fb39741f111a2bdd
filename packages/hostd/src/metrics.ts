/** Prometheus text: numbers about this hostd, nothing about what workloads are or hold. */
import { memoryUsage } from 'node:process'
import { WorkloadStateSchema } from '@cloister/protocol/hostd-api'
import { VmLifeStateSchema } from '@cloister/protocol/hostd-vm-api'
import { PRODUCT_VERSION } from '@cloister/protocol/product-version'

/** @param workloads - the state of each workload. @param vms - of each machine */
export function metricsText(workloads: readonly string[], vms: readonly string[]): string {
  const gauge = (name: string, states: readonly string[], found: readonly string[]) => [
    `# TYPE ${name} gauge`,
    ...states.map(
      (state) => `${name}{state="${state}"} ${found.filter((s) => s === state).length}`,
    ),
  ]
  return [
    '# TYPE cloister_build_info gauge',
    `cloister_build_info{version="${PRODUCT_VERSION}"} 1`,
    ...gauge('cloister_workloads', WorkloadStateSchema.options, workloads),
    ...gauge('cloister_vms', VmLifeStateSchema.options, vms),
    '# TYPE process_resident_memory_bytes gauge',
    `process_resident_memory_bytes ${memoryUsage.rss()}`,
    '',
  ].join('\n')
}

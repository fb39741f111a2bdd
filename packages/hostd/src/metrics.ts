/** Prometheus text: numbers about this hostd, nothing about what workloads are or hold. */
import { memoryUsage } from 'node:process'
import { WorkloadStateSchema, type WorkloadView } from '@cloister/protocol/hostd-api'
import { PRODUCT_VERSION } from './product-version.ts'

export function metricsText(views: readonly WorkloadView[]): string {
  const states = WorkloadStateSchema.options.map((state) => {
    const count = views.filter((view) => view.state === state).length
    return `cloister_workloads{state="${state}"} ${count}`
  })
  return [
    '# TYPE cloister_build_info gauge',
    `cloister_build_info{version="${PRODUCT_VERSION}"} 1`,
    '# TYPE cloister_workloads gauge',
    ...states,
    '# TYPE process_resident_memory_bytes gauge',
    `process_resident_memory_bytes ${memoryUsage.rss()}`,
    '',
  ].join('\n')
}

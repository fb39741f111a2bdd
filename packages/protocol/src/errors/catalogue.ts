/** Every error code of Cloister, gathered from one file per area. `cloister explain CODE` prints an entry. */
import { AGENT_ERRORS } from './agent.ts'
import { BROKER_ERRORS } from './broker.ts'
import { CLI_ERRORS } from './cli.ts'
import { FETCH_ERRORS } from './fetch.ts'
import { DISK_IMAGE_ERRORS } from './disk-image.ts'
import { GUEST_IMAGE_ERRORS } from './guest-image.ts'
import { HOST_ERRORS } from './host.ts'
import { HOSTD_VM_ERRORS } from './hostd-vm.ts'
import { LAUNCHER_ERRORS } from './launcher.ts'
import { MACHINE_ERRORS } from './machine.ts'
import { MEASURED_VM_ERRORS } from './measured-vm.ts'
import { OCI_ERRORS } from './oci.ts'
import { PROTOCOL_ERRORS } from './protocol.ts'
import type { ErrorEntry } from './entry.ts'

const CODES = {
  ...PROTOCOL_ERRORS,
  ...CLI_ERRORS,
  ...HOST_ERRORS,
  ...HOSTD_VM_ERRORS,
  ...LAUNCHER_ERRORS,
  ...MACHINE_ERRORS,
  ...GUEST_IMAGE_ERRORS,
  ...MEASURED_VM_ERRORS,
  ...DISK_IMAGE_ERRORS,
  ...OCI_ERRORS,
  ...AGENT_ERRORS,
  ...BROKER_ERRORS,
  ...FETCH_ERRORS,
} as const satisfies Record<string, ErrorEntry>

export type ErrorCode = keyof typeof CODES

export const ERROR_CODES: Readonly<Record<ErrorCode, ErrorEntry>> = CODES

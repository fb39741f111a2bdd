import type { VmView } from '@cloister/protocol/hostd-vm-api'

/** What stands behind a VM, in one sentence. */
export function protectionOf({ tee, boot, vtpm, secureBoot }: VmView): string {
  const measured =
    boot === 'direct'
      ? 'what is measured is checked at each start with a launch secret alone'
      : 'only the firmware is measured'
  switch (tee) {
    case 'none': {
      const inside = [secureBoot ? 'Secure Boot' : '', vtpm ? 'a vTPM' : ''].filter(Boolean)
      const against = inside.length === 0 ? '' : `; ${inside.join(' and ')} against changes inside`
      return `none against the host, which can read and change everything${against}`
    }
    case 'simulated':
      return 'none: the TEE is simulated, memory is not encrypted'
    case 'sev':
      return `memory is encrypted; registers and integrity are not protected, ${measured}`
    case 'sev-es':
      return `memory and registers are encrypted; integrity is not protected, ${measured}`
    case 'snp':
    case 'tdx':
      return 'memory is encrypted and its integrity protected, once `cloister verify` says so'
    default:
      return tee satisfies never
  }
}

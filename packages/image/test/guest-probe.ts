/** Takes the agent's place in tests: tells what the guest looks like from inside, then reads a file that a test may have damaged. */
import { execFileSync } from 'node:child_process'
import { closeSync, existsSync, openSync, readFileSync, readdirSync, writeSync } from 'node:fs'

const text = (path: string) => readFileSync(path, 'latin1').trim()
const listing = (path: string) => (existsSync(path) ? readdirSync(path).toSorted() : [])
const refused = (action: () => unknown) => {
  try {
    action()
    return false
  } catch {
    return true
  }
}

function port(name: string): string {
  const found = readdirSync('/sys/class/virtio-ports').find(
    (entry) => text(`/sys/class/virtio-ports/${entry}/name`) === name,
  )
  return `/dev/${found}`
}

function tell(name: string, line: string): void {
  const descriptor = openSync(port(name), 'w')
  writeSync(descriptor, `${line}\n`)
  closeSync(descriptor)
}

const mounts = text('/proc/mounts')
  .split('\n')
  .map((line) => line.split(' '))
tell('cloister.stage', '50 agent 1')
tell(
  'cloister.agent',
  JSON.stringify({
    pid1: text('/proc/1/cmdline').replaceAll('\0', ' ').trim(),
    node: process.version,
    lockdown: text('/sys/kernel/security/lockdown'),
    modulesDisabled: text('/proc/sys/kernel/modules_disabled'),
    kexecDisabled: text('/proc/sys/kernel/kexec_load_disabled'),
    sysrq: text('/proc/sys/kernel/sysrq'),
    corePattern: text('/proc/sys/kernel/core_pattern'),
    coreLimit: /^Max core file size +(\S+ +\S+)/m.exec(text('/proc/self/limits'))?.[1],
    ptraceScope: text('/proc/sys/kernel/yama/ptrace_scope'),
    swaps: text('/proc/swaps').split('\n').length - 1,
    consoles: existsSync('/proc/consoles') ? text('/proc/consoles') : '',
    virtioDrivers: listing('/sys/bus/virtio/drivers'),
    pciDrivers: listing('/sys/bus/pci/drivers'),
    fileSystems: text('/proc/filesystems')
      .split('\n')
      .map((line) => line.replace(/^nodev/, '').trim()),
    rootMount: mounts.find(([, place]) => place === '/'),
    rootWritable: !refused(() => openSync('/etc/test', 'w')),
    moduleRefused: refused(() => execFileSync('busybox', ['insmod', '/etc/hosts'])),
    verity: execFileSync('dmsetup', ['table', 'root'], { encoding: 'utf8' }).trim(),
    address: execFileSync('ip', ['-4', '-o', 'addr', 'show', 'eth0'], { encoding: 'utf8' }),
    route: execFileSync('ip', ['route'], { encoding: 'utf8' }).trim(),
    image: JSON.parse(text('/etc/cloister-image')) as unknown,
    clock: Math.floor(Date.now() / 1000),
    random: text('/proc/sys/kernel/random/entropy_avail'),
  }),
)
readFileSync('/etc/ssl/certs/ca-certificates.crt')
tell('cloister.agent', 'read')

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ImageConfig } from '@cloister/oci/manifest'
import { WorkloadSchema, type WorkloadInput } from '@cloister/protocol/workload'
import { isCode } from '@cloister/protocol/testing'
import { containerSpec } from './oci-spec.ts'
import { SECCOMP_ANNOTATIONS, SECCOMP_PROFILE } from './seccomp.ts'

const DIGEST = `sha256:${'11'.repeat(32)}`

function specOf(
  container: Partial<WorkloadInput['container']>,
  config: ImageConfig['config'],
  uid = 0,
) {
  const workload = WorkloadSchema.parse({
    version: 1,
    name: 'demo',
    revision: 1,
    broker: { url: 'https://broker', spki: ['00'.repeat(32)] },
    image: { reference: `r/i@${DIGEST}`, digest: DIGEST, registry: { target: 'registry' } },
    container: { id: 'demo', ...container },
  })
  const image: ImageConfig = {
    architecture: 'amd64',
    os: 'linux',
    rootfs: { type: 'layers', diff_ids: [] },
    config,
  }
  return containerSpec({
    workload,
    image,
    user: { uid, gid: uid, additionalGids: [], home: '/root' },
    rootfs: '/scratch/rootfs',
    secretEnv: ['SECRET=s'],
    files: [{ source: '/run/cloister/secrets/0', destination: '/run/secret' }],
  })
}

test('the command is the image’s, unless the workload replaces it', () => {
  const config = { Entrypoint: ['/entry'], Cmd: ['default'] }
  const args = (container: object) => specOf(container, config).process.args
  assert.deepEqual(args({}), ['/entry', 'default'])
  assert.deepEqual(args({ args: ['mine'] }), ['/entry', 'mine'])
  assert.deepEqual(args({ args: [] }), ['/entry'])
  assert.deepEqual(args({ entrypoint: ['/other'] }), ['/other'])
  assert.deepEqual(args({ entrypoint: ['/other'], args: ['mine'] }), ['/other', 'mine'])
  assert.throws(() => specOf({}, {}), isCode('agent.command-missing'))
  assert.throws(() => specOf({}, null), isCode('agent.command-missing'))
})

test('the environment: image, then workload, then secrets; the last of a name wins', () => {
  const { env } = specOf(
    { env: ['B=workload', 'C=3'] },
    { Cmd: ['x'], Env: ['PATH=/own', 'A=image', 'B=image', 'SECRET=image'] },
  ).process
  assert.deepEqual(env, [
    'PATH=/own',
    'HOME=/root',
    'HOSTNAME=demo',
    'A=image',
    'B=workload',
    'SECRET=s',
    'C=3',
  ])
})

test('the working directory is absolute', () => {
  assert.equal(specOf({}, { Cmd: ['x'] }).process.cwd, '/')
  assert.equal(specOf({}, { Cmd: ['x'], WorkingDir: 'srv' }).process.cwd, '/srv')
  assert.equal(specOf({ cwd: '/own' }, { Cmd: ['x'], WorkingDir: '/srv' }).process.cwd, '/own')
})

test('a container sees no devices of the guest, no attestation interface, and gains no privileges', () => {
  const spec = specOf({}, { Cmd: ['x'] })
  const linux = spec['linux'] as {
    maskedPaths: string[]
    readonlyPaths: string[]
    namespaces: { type: string }[]
    resources: { devices: object[] }
    seccomp: object
  }
  assert.ok(linux.maskedPaths.includes('/sys/kernel/config'))
  assert.ok(linux.maskedPaths.includes('/sys/firmware'))
  assert.ok(linux.maskedPaths.includes('/proc/kmsg'))
  assert.ok(linux.readonlyPaths.includes('/proc/sys'))
  assert.deepEqual(linux.resources.devices, [{ allow: false, access: 'rwm' }])
  assert.deepEqual(
    linux.namespaces.map(({ type }) => type),
    ['mount', 'pid', 'ipc', 'uts', 'cgroup'],
  )
  assert.deepEqual(linux.seccomp, SECCOMP_PROFILE)
  assert.deepEqual(spec['annotations'], SECCOMP_ANNOTATIONS)
  assert.equal(spec.process.noNewPrivileges, true)
  const { bounding = [], effective = [] } = spec.process.capabilities
  for (const capability of ['CAP_SYS_ADMIN', 'CAP_MKNOD', 'CAP_NET_RAW', 'CAP_SYS_TIME'])
    assert.ok(!bounding.includes(capability) && !effective.includes(capability))
  assert.deepEqual(specOf({}, { Cmd: ['x'] }, 1000).process.capabilities['effective'], [])
})

test('on a read-only root /tmp and the image’s volumes are memory', () => {
  const mountsOf = (readonlyRootfs: boolean) =>
    (
      specOf({ readonlyRootfs }, { Cmd: ['x'], Volumes: { '/data': {} } })['mounts'] as {
        destination: string
        type: string
      }[]
    ).filter(({ destination }) => destination === '/tmp' || destination === '/data')
  assert.deepEqual(mountsOf(false), [])
  assert.deepEqual(
    mountsOf(true).map(({ destination, type }) => [destination, type]),
    [
      ['/tmp', 'tmpfs'],
      ['/data', 'tmpfs'],
    ],
  )
})

/** Attacks on evidence and release, at the protocol, against the real broker. */
import { createHash } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openKeyStore } from '@cloister/launcher/simulator/key-store'
import {
  encodeInitdata,
  parseInitdata,
  parseWorkload,
  initdataOf,
} from '@cloister/protocol/initdata'
import { CloisterError } from '@cloister/protocol/error'
import type { WorkloadInput } from '@cloister/protocol/workload'
import { BrokerClient } from '../owner/broker-client.ts'
import { openAdminKey } from '../owner/admin-key.ts'
import { AttackerSession } from './attacker-session.ts'
import { forgeEvidence, localProcessor, type Forgery } from './forged-evidence.ts'
import type { Attack, Battlefield, Refusal } from './attack.ts'

const DEBUG_POLICY = 0xb0000n

/** Attests with forged evidence that is right but for what `wrong` changes. */
async function attestForged(
  field: Battlefield,
  wrong: Partial<Forgery>,
  initdata = field.initdata,
): Promise<Refusal> {
  const identity = await localProcessor(field.directories)
  const forgery = { launchDigest: field.launchDigest, hostData: sha256(initdata), ...wrong }
  const session = new AttackerSession(field)
  const refusal = await session.attest(
    (reportData) => forgeEvidence(identity, forgery, reportData),
    initdata,
  )
  return refusal ?? (await session.take(field.secret))
}

const replayed: Attack = {
  name: 'evidence-relayed',
  story: "present the demo guest's own fresh report, with another key",
  expected: ['snp.report-data.mismatch'],
  async attempt(field) {
    const hostd = await field.hostd()
    const { evidenceJson } = await hostd.evidence(field.workload, new Uint8Array(32).fill(7), {
      signal: field.signal,
    })
    const evidence: unknown = JSON.parse(evidenceJson)
    const session = new AttackerSession(field)
    return (
      (await session.attest(() => evidence, field.initdata)) ?? (await session.take(field.secret))
    )
  },
}

const foreignProcessor: Attack = {
  name: 'foreign-processor',
  story: 'sign a perfect report with a processor of one’s own making',
  expected: ['snp.endorsement.untrusted-root'],
  async attempt(field) {
    const directory = await mkdtemp(join(tmpdir(), 'cloister-foreign-'))
    try {
      const identity = await openKeyStore(directory)
      const forgery = { launchDigest: field.launchDigest, hostData: sha256(field.initdata) }
      const session = new AttackerSession(field)
      const refusal = await session.attest(
        (reportData) => forgeEvidence(identity, forgery, reportData),
        field.initdata,
      )
      return refusal ?? (await session.take(field.secret))
    } finally {
      await rm(directory, { recursive: true, force: true })
    }
  },
}

const debugGuest: Attack = {
  name: 'debug-guest',
  story: 'launch the guest with the debug bit, so that the host may decrypt it',
  expected: ['snp.policy.debug'],
  attempt: async (field) => await attestForged(field, { policy: DEBUG_POLICY }),
}

const lowerPrivilege: Attack = {
  name: 'vmpl-1',
  story: 'report from a less privileged level of the guest',
  expected: ['snp.vmpl.mismatch'],
  attempt: async (field) => await attestForged(field, { vmpl: 1 }),
}

const otherInitdata: Attack = {
  name: 'initdata-unregistered',
  story: 'run the image with an environment that the owner did not write',
  expected: ['release.workload-unregistered'],
  async attempt(field) {
    const workload = parseWorkload(parseInitdata(field.initdata))
    const changed: WorkloadInput = {
      ...workload,
      container: { ...workload.container, env: ['NODE_OPTIONS=--inspect=0.0.0.0'] },
    }
    return await attestForged(field, {}, encodeInitdata(initdataOf(changed)))
  },
}

const withdrawn: Attack = {
  name: 'revision-withdrawn',
  story: 'go on with a workload revision that the owner has withdrawn',
  expected: ['release.workload-withdrawn'],
  async attempt(field) {
    const workload = {
      ...parseWorkload(parseInitdata(field.initdata)),
      name: `${field.workload}-withdrawn`,
      revision: 1,
    } as WorkloadInput
    const known = (await field.broker.workloads()).filter(({ name }) => name === workload.name)
    const revision = Math.max(0, ...known.map((entry) => entry.revision)) + 1
    const initdata = encodeInitdata(initdataOf({ ...workload, revision }))
    await field.broker.putWorkload(workload.name, initdata)
    await field.broker.withdrawWorkload(workload.name, revision)
    return await attestForged(field, {}, initdata)
  },
}

const secretWithoutPolicy: Attack = {
  name: 'secret-without-policy',
  story: 'ask, as the genuine guest, for a secret that has no release policy',
  expected: ['release.policy-absent'],
  async attempt(field) {
    const path = 'default/secret/demo-without-policy'
    await field.broker.putSecret(path, {
      value: Buffer.from('nobody may have this').toString('base64'),
      allowSimulated: true,
    })
    try {
      const identity = await localProcessor(field.directories)
      const forgery = { launchDigest: field.launchDigest, hostData: sha256(field.initdata) }
      const session = new AttackerSession(field)
      const refusal = await session.attest(
        (reportData) => forgeEvidence(identity, forgery, reportData),
        field.initdata,
      )
      return refusal ?? (await session.take(path))
    } finally {
      await field.broker.removeSecret(path)
    }
  },
}

const otherBroker: Attack = {
  name: 'broker-in-between',
  story: 'answer in place of the broker, with another TLS key',
  expected: ['owner.broker-pin-mismatch'],
  async attempt({ broker, directories, signal }) {
    // Seen from the other end: to a client that has pinned another key, the real broker is the impostor.
    const elsewhere = { ...broker.pinned, spki: ['0'.repeat(64)] }
    const client = new BrokerClient(elsewhere, openAdminKey(directories), signal)
    return await client.status().then(
      () => ({ code: undefined, by: 'owner' as const }),
      (error: unknown) => ({ code: CloisterError.from(error).code, by: 'owner' as const }),
    )
  },
}

export const EVIDENCE_ATTACKS: readonly Attack[] = [
  replayed,
  foreignProcessor,
  debugGuest,
  lowerPrivilege,
  otherInitdata,
  withdrawn,
  secretWithoutPolicy,
  otherBroker,
]

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

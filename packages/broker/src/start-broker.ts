/** Starts a broker: storage, keys, the two sides over HTTPS. */
import { mkdirSync } from 'node:fs'
import type { RequestListener } from 'node:http'
import { join } from 'node:path'
import { CloisterError } from '@cloister/protocol/error'
import { PRODUCT_VERSION } from '@cloister/protocol/product-version'
import { adminAuthorizer } from './admin/authorize.ts'
import {
  createEvidenceAppraiser,
  HARDWARE_APPRAISERS,
  type Appraisers,
} from './attestation/appraise-evidence.ts'
import { IssuedTokens } from './attestation/issued-tokens.ts'
import { TokenSigner } from './attestation/token-signer.ts'
import { ListRefresher, type ListRefreshOptions } from './endorsements/list-refresher.ts'
import { brokerListener } from './http/app.ts'
import { BodyReader } from './http/body.ts'
import { Metrics } from './http/metrics.ts'
import { listen } from './http/server.ts'
import { IdleCollection } from './idle-collection.ts'
import { loadIdentity } from './identity.ts'
import { Sessions } from './kbs/sessions.ts'
import { BROKER_LIMITS, type BrokerLimits } from './limits.ts'
import type { BrokerParts } from './parts.ts'
import { AuditJournal } from './storage/audit-journal.ts'
import { loadAuditKey } from './storage/audit-key.ts'
import { AuditLog } from './storage/audit-log.ts'
import { Database } from './storage/database.ts'
import { loadKek } from './storage/envelope.ts'
import { Instances } from './storage/instances.ts'
import { ReferenceValueStore } from './storage/reference-values.ts'
import { SecretStore } from './storage/secrets.ts'
import { StrangerEntries } from './storage/stranger-entries.ts'
import { TrustSettings } from './storage/trust-settings.ts'
import { WorkloadRegistry } from './storage/workload-registry.ts'
import { AttestationAuthority } from './tpm/attestation-authority.ts'
import { Enrolments } from './tpm/enrolments.ts'

export interface BrokerOptions {
  /** Holds `broker.db`, `kek.bin` and the keys; made with mode 0700 when absent. One broker at a time. */
  readonly directory: string
  readonly listen: {
    readonly host: string
    /** 0: any free port. */
    readonly port: number
  }
  /** What clients call it, https and without a path; admin tokens name it as `aud`. Absent: from address and port. */
  readonly url?: string
  /** Public keys of the owner, Ed25519, SPKI in PEM. None: nobody can administer it. */
  readonly adminKeys: readonly string[]
  /** Fingerprints of simulated roots to pin, SHA-256 of the root certificate's DER in hex. */
  readonly simulatedRoots?: readonly string[]
  /** Milliseconds since 1970. Absent: the clock. */
  readonly now?: () => number
  readonly limits?: Partial<BrokerLimits>
  /** Asks AMD for its revocation lists and Intel for collateral of the known platforms, on a schedule. Absent: nobody is asked, and the owner brings them. */
  readonly fetchEndorsements?: ListRefreshOptions
  /** Told of defects. Absent: standard error. */
  readonly onBug?: (error: unknown) => void
}

export interface Broker extends AsyncDisposable {
  readonly url: string
  readonly address: { readonly host: string; readonly port: number }
  /** SHA-256 of the DER SubjectPublicKeyInfo of the TLS key, hex; for `broker.spki` in workloads. */
  readonly spki: string
  /** Certificate of the key that signs tokens, PEM. */
  readonly tokenSigner: string
  /** Lets requests under way end, then closes port and storage. Again: the same promise. */
  stop(): Promise<void>
}

/**
 * @throws CloisterError `broker.storage`, `broker.listen`; `broker.simulated.secrets` when a simulated root is pinned and a
 * secret is held that must not go to one
 */
export async function startBroker(options: BrokerOptions): Promise<Broker> {
  return startBrokerUnder({}, options)
}

/** {@link startBroker} with a fake AMD or Intel in their places, for tests. The package does not export it. */
export async function startBrokerUnder(
  fakes: Partial<Appraisers>,
  options: BrokerOptions,
): Promise<Broker> {
  const now = options.now ?? Date.now
  const limits = { ...BROKER_LIMITS, ...options.limits }
  mkdirSync(options.directory, { recursive: true, mode: 0o700 })
  const files = new DisposableStack()
  try {
    const database = new Database(join(options.directory, 'broker.db'))
    files.defer(() => {
      database.close()
    })
    const journal = files.use(new AuditJournal(join(options.directory, 'audit.journal')))
    const { host } = options.listen
    const tls = loadIdentity(options.directory, {
      name: 'tls',
      commonName: 'Cloister broker',
      hosts: [...new Set([host, 'localhost', '127.0.0.1', 'broker'])],
      now: now(),
    })
    const parts = createParts(options, {
      database,
      journal,
      limits,
      now,
      appraisers: { ...HARDWARE_APPRAISERS, ...fakes },
    })
    const { fetchEndorsements } = options
    const refresher = fetchEndorsements && new ListRefresher(parts, fetchEndorsements)
    let url = options.url ?? ''
    const listener = brokerListener(parts, {
      authorizeAdmin: adminAuthorizer(options.adminKeys, () => url),
      facts: () => ({
        url,
        spki: [tls.spki],
        ...(refresher !== undefined && {
          refreshState: { ...refresher.state, problems: [...refresher.state.problems] },
        }),
      }),
    })
    const memory = new IdleCollection({ sweep: () => parts.sessions.sweep(now()) })
    const counted: RequestListener = (incoming, outgoing) => {
      memory.count()
      listener(incoming, outgoing)
    }
    const onRefused = () => {
      parts.metrics.count('kbs_connections_refused_total')
    }
    const server = await listen(counted, { ...options.listen, limits, tls, now, onRefused })
    const address = { host, port: server.port }
    url ||= `https://${host.includes(':') ? `[${host}]` : host}:${address.port}`
    let stopped: Promise<void> | undefined
    const end = async () => {
      using _files = files
      await using _refresher = refresher
      using _memory = memory
      await server.close()
      parts.strangers.flush(now())
      parts.audit.settle()
    }
    const stop = () => (stopped ??= end())
    refresher?.start()
    memory.start()
    const { tokenSigner } = parts
    return { url, address, spki: tls.spki, tokenSigner, stop, [Symbol.asyncDispose]: stop }
  } catch (error) {
    files.dispose()
    throw error
  }
}

interface Resources {
  readonly database: Database
  readonly journal: AuditJournal
  readonly limits: BrokerLimits
  readonly now: () => number
  readonly appraisers: Appraisers
}

function createParts(
  options: BrokerOptions,
  { database, journal, limits, now, appraisers }: Resources,
): BrokerParts {
  const { directory, simulatedRoots = [], onBug = reportBug } = options
  const hasSecrets = database.prepare('SELECT 1 FROM secret_versions LIMIT 1').get() !== undefined
  const kek = loadKek(join(directory, 'kek.bin'), !hasSecrets)
  const secrets = new SecretStore(database, kek)
  const trust = new TrustSettings(database)
  if (simulatedRoots.length + trust.simulatedRoots().length > 0 && secrets.hasReal())
    throw new CloisterError('broker.simulated.secrets')
  for (const fingerprint of simulatedRoots) trust.pinSimulatedRoot(fingerprint, now())
  const identity = loadIdentity(directory, {
    name: 'token',
    commonName: 'Cloister broker token signer',
    now: now(),
  })
  const attestationAuthority = new AttestationAuthority(
    loadIdentity(directory, {
      name: 'tpm-ca',
      commonName: 'Cloister broker attestation keys',
      isAuthority: true,
      now: now(),
    }),
  )
  const audit = new AuditLog(database, {
    key: loadAuditKey(join(directory, 'audit.key')),
    journal,
    limitBytes: limits.auditBytes,
  })
  return {
    version: PRODUCT_VERSION,
    limits,
    now,
    secrets,
    workloads: new WorkloadRegistry(database),
    referenceValues: new ReferenceValueStore(database),
    trust,
    audit,
    strangers: new StrangerEntries(audit, {
      perAddress: limits.entriesPerAddress,
      inAll: limits.entriesPerWorkload,
    }),
    instances: new Instances(database),
    sessions: new Sessions(limits),
    enrolments: new Enrolments(),
    attestationAuthority,
    tokens: new IssuedTokens(new TokenSigner(identity)),
    tokenSigner: identity.certificatePem,
    appraiseEvidence: createEvidenceAppraiser(appraisers),
    bodies: new BodyReader(limits.bodiesBytes),
    metrics: new Metrics(),
    onBug,
  }
}

function reportBug(error: unknown): void {
  console.error('cloister broker:', error)
}

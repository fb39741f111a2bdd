import type { ErrorEntry } from './entry.ts'

const AUDIT = 'cloister broker audit --request REQUEST_ID'

/** A check of the release decision (design, rule 2): the guest only learns `release.refused`; these stand in the audit. */
const releaseCheck = (title: string, why: string, fix: string) =>
  ({ title, why, fix: [fix, AUDIT], status: 401, exit: 2 }) as const satisfies ErrorEntry

const RELEASE_CHECKS = {
  'release.policy-absent': releaseCheck(
    'Nobody may have this secret',
    'it has no release policy, and a secret without one goes to nobody',
    'cloister policy apply SECRET POLICY_FILE',
  ),
  'release.secret-unknown': releaseCheck(
    'There is no such secret',
    'no secret is stored under this path',
    'cloister secret put NAME --from-file FILE',
  ),
  'release.anchors': releaseCheck(
    'The evidence stands under anchors that the policy does not name',
    'the policy lists other trust anchors, for instance AMD where the evidence is simulated',
    'cloister policy show SECRET',
  ),
  'release.simulated': releaseCheck(
    'A simulated TEE may not have this secret',
    'the secret was not created with --allow-simulated',
    'cloister secret put NAME --allow-simulated --from-file FILE',
  ),
  'release.attestation-degraded': releaseCheck(
    'The attestation has warnings',
    'the appraisal is not affirming, and the policy does not accept less',
    'mend what the warnings name, or set allowDegraded in the release policy',
  ),
  'release.measurement-unknown': releaseCheck(
    'The guest image is not registered',
    'no registered guest image has this launch digest under these anchors',
    'run the workload again: cloister run registers the guest image it uses; for a VM, make it anew: cloister vm create',
  ),
  'release.image-withdrawn': releaseCheck(
    'The guest image was withdrawn',
    'the owner withdrew this version',
    'run the workload on a current guest image',
  ),
  'release.image-not-listed': releaseCheck(
    'The policy does not name this guest image',
    'the release policy lists other guest images',
    'cloister policy show SECRET',
  ),
  'release.image-version': releaseCheck(
    'The guest image is too old',
    'the release policy demands a higher version',
    'cloister guest-image build --refresh',
  ),
  'release.workload-unregistered': releaseCheck(
    'The initdata is not registered',
    'no workload was registered with this initdata digest',
    'start it with `cloister run`, which registers the initdata',
  ),
  'release.workload-superseded': releaseCheck(
    'A newer revision of the workload is registered',
    'only the current revision gets secrets',
    'start the current revision',
  ),
  'release.workload-withdrawn': releaseCheck(
    'The workload was withdrawn',
    'the owner withdrew this revision',
    'register a new revision with `cloister run`',
  ),
  'release.workload-not-listed': releaseCheck(
    'The policy does not name this workload',
    'the release policy lists other workloads or revisions',
    'cloister policy show SECRET',
  ),
  'release.vmpl': releaseCheck(
    'The report was not made at VMPL 0',
    'code at a lower privilege level asked for it',
    'attest from the guest kernel at VMPL 0',
  ),
  'release.debug': releaseCheck(
    'The guest may be debugged',
    'its guest policy allows the host to decrypt its memory',
    'start the guest without the debug bit',
  ),
  'release.migration-agent': releaseCheck(
    'The guest has a migration agent',
    'its guest policy allows one, or its report names one',
    'start the guest without a migration agent',
  ),
  'release.guest-policy': releaseCheck(
    'The guest policy has bits that the release policy does not allow',
    'SMT, CXL, or a missing single-socket requirement',
    'cloister policy show SECRET',
  ),
  'release.processor': releaseCheck(
    'The policy has no minimum TCB for this processor',
    'neither its minimums nor its preset know the processor',
    'add the line with its minimum TCB, or a preset that has a figure for it, to the release policy',
  ),
  'release.tcb.reported': releaseCheck(
    'The reported TCB is too low',
    'a component is below the minimum of the release policy',
    "update the host's firmware",
  ),
  'release.tcb.committed': releaseCheck(
    'The committed TCB is too low',
    'the host could go back to older firmware than the policy allows',
    "commit the host's firmware (SNP_COMMIT)",
  ),
  'release.tcb.launch': releaseCheck(
    'The TCB at launch was too low',
    'the guest was started under older firmware than the policy allows',
    'start the guest anew',
  ),
  'release.platform': releaseCheck(
    'The policy does not name this processor',
    'its chip id, PPID or platform instance id is not among the enrolled platforms',
    'cloister platform enroll ID, or name the chip in the policy',
  ),
  'release.tdx.tcb-status': releaseCheck(
    'The TCB of the platform is not good enough',
    'its status by Intel’s collateral, or an advisory that applies to it, is not accepted by the release policy',
    "update the host's firmware and TDX module, or accept the status in `tdx.tcbStatuses` of the policy",
  ),
  'release.tdx.evaluation-number': releaseCheck(
    'Intel’s collateral is of an older TCB recovery than the policy demands',
    'its tcbEvaluationDataNumber is below the minimum',
    'give the broker newer collateral: cloister evidence fetch --tee tdx, cloister intel-collateral',
  ),
  'release.tdx.rtmr0': releaseCheck(
    'The machine differs from the one that the policy names',
    'RTMR0 (firmware settings, memory, ACPI tables) is none of the accepted values',
    'see what changed on the host (QEMU, memory, devices); accept the new value only where you know why it changed',
  ),
  'release.tdx.xfam': releaseCheck(
    'The TD has other processor features than the policy names',
    'XFAM is none of the accepted values',
    'cloister policy show SECRET',
  ),
  'release.key': releaseCheck(
    'The key of the request is not the one in REPORT_DATA',
    'the token belongs to another key pair or to another broker',
    'attest anew',
  ),
  'release.rego': releaseCheck(
    'The Rego of the release policy refused the secret',
    'data.policy.allow is not true for this token; the check names the rule that came closest',
    'cloister policy show SECRET -o json',
  ),
  'release.tpm.level': releaseCheck(
    'A TPM that the host runs may not have this secret',
    'it is a disk key, or its policy asks for a TEE, and a virtual TPM proves nothing against the host',
    'start the VM with a TEE: --tee snp or tdx',
  ),
  'release.tpm.anchor': releaseCheck(
    "The CA of the machine's TPM is not pinned",
    'its EK certificate was issued under a CA that the owner has removed',
    'cloister tpm-ca add FILE',
  ),
  'release.tpm.endorsement-key': releaseCheck(
    'The policy does not name this machine',
    'the fingerprint of its EK certificate is not in the release policy',
    'cloister policy show SECRET',
  ),
  'release.tpm.secure-boot': releaseCheck(
    'Secure Boot is not shown to be on',
    'the event log says that it is off, or there is no log that adds up',
    'start the VM with --secure-boot on',
  ),
  'release.tpm.pcr': releaseCheck(
    'The machine booted something else',
    'a PCR has none of the values that the release policy accepts',
    'cloister vm integrity NAME --diff',
  ),
  'release.instance': releaseCheck(
    'The instance does not live any more',
    'the owner ended it, or its token was not renewed in time',
    'start the workload anew; cloister broker instances ls',
  ),
  'release.token-expired': releaseCheck(
    'The attestation result has expired',
    'a token is good for minutes only',
    'attest anew',
  ),
} as const satisfies Record<string, ErrorEntry>

export type ReleaseCheckCode = keyof typeof RELEASE_CHECKS

/** A check that the broker makes of evidence, beside those of the verifier. */
const ATTESTATION_CHECKS = {
  'attestation.tee-unsupported': {
    title: 'Cannot appraise this kind of TEE',
    why: 'this broker has no verifier for it',
    fix: ['use a TEE that `cloister doctor` lists'],
    status: 401,
    exit: 2,
  },
  'attestation.evidence-malformed': {
    title: 'Cannot read the evidence',
    why: 'it does not have the documented shape',
    fix: ['compare it with docs/reference/broker.md', AUDIT],
    status: 401,
    exit: 2,
  },
  'attestation.nonce': {
    title: 'The evidence is not fresh',
    why: 'it names another nonce than the one that this session was given',
    fix: ['attest anew; evidence is good for one session only', AUDIT],
    status: 401,
    exit: 2,
  },
  'attestation.instances': {
    title: 'The workload has as many instances as it may have',
    why: 'another guest with the same initdata lives, as after a copy of its disk; or one that is gone still counts until its token ends, five minutes at most',
    fix: [
      'cloister broker instances ls',
      'cloister broker instances rm KEY, when that instance is gone or is not yours',
      AUDIT,
    ],
    status: 401,
    exit: 2,
  },
  'attestation.initdata-mismatch': {
    title: 'The initdata is not the one that the hardware was started with',
    why: 'its digest differs from HOST_DATA, or from MRCONFIGID on TDX',
    fix: ['start the guest with the registered initdata', AUDIT],
    status: 401,
    exit: 2,
  },
  'attestation.machine-event': {
    title: 'An event of the machine of a TD, in RTMR0',
    why: 'it stands in the audit beside an attestation, so that the owner sees what RTMR0 is made of; nothing is decided by it',
    fix: ['cloister vm accept-machine NAME', AUDIT],
    status: 401,
    exit: 2,
  },
} as const satisfies Record<string, ErrorEntry>

/** A check before an attestation key is certified: the guest only learns `tpm.enrolment-refused`. */
const ENROLMENT_CHECKS = {
  'tpm.ek.malformed': {
    title: 'The EK certificate cannot be used',
    why: 'it cannot be parsed, is not of an endorsement key, or its key is of a kind that is not supported',
    fix: ["see the TPM's certificate with tpm2_getekcertificate", AUDIT],
    status: 401,
    exit: 2,
  },
  'tpm.ek.untrusted-root': {
    title: 'Nobody whom the owner trusts vouches for the TPM',
    why: 'its EK certificate leads to no CA that is pinned at the broker',
    fix: ['cloister tpm-ca add FILE', AUDIT],
    status: 401,
    exit: 2,
  },
  'tpm.ek.not-in-date': {
    title: 'The EK certificate is not in date',
    why: 'it, or a certificate above it, has expired or is not valid yet',
    fix: ['issue it anew', AUDIT],
    status: 401,
    exit: 2,
  },
  'tpm.enrolment.key': {
    title: 'The key is no attestation key',
    why: 'it could leave its TPM, or would sign what the TPM did not make: it is not restricted, or not fixed',
    fix: ['enrol a restricted signing key', AUDIT],
    status: 401,
    exit: 2,
  },
  'tpm.enrolment.unknown': {
    title: 'There is no such enrolment',
    why: 'its time is over, or an answer was given before: each serves once',
    fix: ['start the enrolment anew', AUDIT],
    status: 401,
    exit: 2,
  },
  'tpm.enrolment.many': {
    title: 'Many enrolments were refused',
    why: 'more were refused than the audit has entries for, of one address or of all; the check names addresses with their numbers',
    fix: ['look at who sends from these addresses', AUDIT],
    status: 401,
    exit: 2,
  },
  'tpm.enrolment.secret': {
    title: 'The TPM did not open the credential',
    why: 'the answer is not what was encrypted: the attestation key is not in the TPM of the EK certificate',
    fix: ['enrol from the machine itself', AUDIT],
    status: 401,
    exit: 2,
  },
} as const satisfies Record<string, ErrorEntry>

export type EnrolmentCheckCode = keyof typeof ENROLMENT_CHECKS

export type AttestationCheckCode = keyof typeof ATTESTATION_CHECKS

/** The broker: attestation, release, its owner's side. */
export const BROKER_ERRORS = {
  ...RELEASE_CHECKS,
  ...ATTESTATION_CHECKS,
  ...ENROLMENT_CHECKS,
  'tpm.enrolment-refused': {
    title: 'The broker does not certify the attestation key',
    why: 'a check failed; the owner finds which one in the audit',
    fix: [AUDIT],
    status: 401,
    exit: 2,
  },
  'attestation.many': {
    title: 'Many attestations',
    why: 'there were more of strangers, or of guests of one workload, than the audit has entries for, of one address or of all; the check names addresses with their numbers',
    fix: ['look at who sends from these addresses', AUDIT],
    status: 401,
    exit: 2,
  },
  'release.many': {
    title: 'Many secrets were refused',
    why: 'more were refused than the audit has entries for, of one address or of all; the check names addresses with their numbers',
    fix: ['look at who sends from these addresses', AUDIT],
    status: 401,
    exit: 2,
  },
  'broker.collateral-earlier': {
    title: "The broker has collateral of Intel's later evaluation",
    why: 'a statement has a lower tcbEvaluationDataNumber than the one that is there: what became known since then would be forgotten',
    fix: [
      'cloister evidence fetch --tee tdx, for collateral of now',
      'cloister intel-collateral rm FMSPC first, to go back on purpose',
    ],
    status: 409,
    exit: 1,
  },
  'jwe.malformed': {
    title: 'Cannot open the encrypted resource',
    why: 'it is not a JWE for this key',
    fix: ['attest anew; a broker of another version may be the cause'],
    status: 400,
    exit: 1,
  },
  'attestation.refused': {
    title: 'The broker refused the evidence',
    why: 'a check failed; the owner finds which one in the audit',
    fix: [AUDIT],
    status: 401,
    exit: 2,
  },
  'release.refused': {
    title: 'The broker refused the secret',
    why: 'a check failed; the owner finds which one in the audit',
    fix: [AUDIT],
    status: 401,
    exit: 2,
  },
  'kbs.version': {
    title: 'Cannot talk to this broker',
    why: 'it speaks version 0.4.0 of the KBS protocol only',
    fix: ['use guest components that speak 0.4.0'],
    status: 401,
    exit: 1,
  },
  'kbs.session': {
    title: 'The session is not known',
    why: 'it has expired, was used already, or belongs to another broker',
    fix: ['start the handshake anew'],
    status: 401,
    exit: 4,
    retryable: true,
  },
  'kbs.token': {
    title: 'The attestation token is not valid',
    why: 'it is missing, has expired, or was not signed by this broker',
    fix: ['attest anew'],
    status: 401,
    exit: 2,
  },
  'kbs.token-absent': {
    title: 'There is no attestation token in the request',
    why: 'neither an attested session nor a bearer token came with it',
    fix: ['attest first'],
    status: 401,
    exit: 2,
  },
  'kbs.plugin': {
    title: 'The broker has no such plugin',
    why: 'only resources are served',
    fix: ['compare the path with docs/reference/broker.md'],
    status: 404,
    exit: 6,
  },
  'kbs.path': {
    title: 'There is nothing at this path',
    why: 'the broker does not serve it',
    fix: ['compare it with docs/reference/broker.md'],
    status: 404,
    exit: 6,
  },
  'broker.busy': {
    title: 'The broker is busy',
    why: 'too many sessions or requests are under way',
    fix: ['try again later'],
    status: 503,
    exit: 4,
    retryable: true,
  },
  'broker.body-too-large': {
    title: 'The request is too large',
    why: 'its body exceeds the limit',
    fix: ['send less; see the limits in docs/reference/broker.md'],
    status: 413,
    exit: 6,
  },
  'broker.admin.unauthorized': {
    title: 'Not permitted at the broker',
    why: "the request is not signed by the owner's admin key, or its token is too old",
    fix: ['use the machine that holds owner/admin.pem', 'check the clock'],
    status: 401,
    exit: 7,
  },
  'broker.not-found': {
    title: 'The broker has no such thing',
    why: 'nothing is registered under this name',
    fix: ['list what is there first'],
    status: 404,
    exit: 1,
  },
  'broker.rego': {
    title: 'Cannot use the Rego of the release policy',
    why: 'it does not compile as Rego v1, or is not of the package policy',
    fix: ['cloister policy check FILE'],
    status: 400,
    exit: 6,
  },
  'broker.workload.name': {
    title: 'Cannot register the workload: its name differs',
    why: 'the initdata names another workload than the path does',
    fix: ['use the name in the initdata'],
    status: 400,
    exit: 6,
  },
  'broker.workload.revision': {
    title: 'Cannot register the workload: its revision does not rise',
    why: 'the same or a higher revision is registered already',
    fix: ['raise the revision in the initdata'],
    status: 409,
    exit: 1,
  },
  'broker.guest-image.mode': {
    title: 'Cannot register the guest image: the attester mode does not belong to the anchors',
    why: "AMD's anchors go with mode hardware only, simulated anchors with mode simulated only",
    fix: ['register mode hardware for amd, mode simulated for simulated'],
    status: 400,
    exit: 6,
  },
  'broker.guest-image.version': {
    title: 'Cannot register the guest image: its version does not rise',
    why: 'the same version with other contents, or a higher one, is registered already',
    fix: ['raise imageVersion and build anew'],
    status: 409,
    exit: 1,
  },
  'broker.guest-image.empty': {
    title: 'Cannot register the guest image: it has no launch digests',
    why: 'its manifest holds none for this mode',
    fix: ['build the guest image with firmware'],
    status: 400,
    exit: 6,
  },
  'broker.simulated.secrets': {
    title: 'One broker does not hold real secrets and trust a simulated TEE',
    why: 'there is a secret that was not created with --allow-simulated',
    fix: [
      'for simulation: another CLOISTER_HOME, which has a broker of its own',
      'cloister secret ls',
    ],
    status: 409,
    exit: 2,
  },
  'broker.storage': {
    title: "Cannot open the broker's storage",
    why: 'the database or its key is missing, damaged or of a newer version',
    fix: ['restore broker.db and kek.bin from the same backup'],
    status: 500,
    exit: 5,
  },
  'broker.audit-broken': {
    title: 'The audit of the broker does not hold',
    why: 'its entries are not those that the broker signed before: somebody changed them, or it is another log or an older copy of this one',
    fix: [
      'keep a copy of broker.db and compare it with a backup',
      'after a restored backup or a new broker, begin anew: cloister broker audit --verify --new-log',
    ],
    status: 409,
    exit: 2,
  },
  'broker.audit-pruned': {
    title: 'The entries of the audit are not kept any more',
    why: 'the audit had reached its bound, and its oldest entries were taken out; their hashes stay',
    fix: ['look for them in your copies of the audit'],
    status: 404,
    exit: 1,
  },
  'broker.listen': {
    title: 'Cannot open the port of the broker',
    why: 'another process has it, or this user may not',
    fix: [
      'cloister broker start --detach --listen 127.0.0.1:PORT',
      'end the other program: ss -ltnp shows it',
    ],
    status: 500,
    exit: 5,
  },
} as const satisfies Record<string, ErrorEntry>

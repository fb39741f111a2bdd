/** Checks on the owner's side, in the commands. */
import type { Mutation } from './mutation.ts'

const ENCRYPT = 'packages/cli/src/commands/image-encrypt.ts'
const ENCRYPT_TEST = 'packages/cli/src/commands/image-encrypt.test.ts'
const REGISTERED = 'packages/cli/src/owner/registered-image.ts'
const REGISTERED_TEST = 'packages/cli/src/owner/registered-image.test.ts'
const TRUST_TEST = 'packages/cli/src/owner/trust-state.test.ts'

export const OWNER_MUTATIONS: readonly Mutation[] = [
  {
    name: 'image-command',
    edits: [
      {
        file: 'packages/agent/src/container/container-command.ts',
        find: "if (command.length === 0 || command[0] === '') throw",
        replace: 'if (command.length < 0) throw',
      },
    ],
    test: 'packages/agent/src/container/oci-spec.test.ts',
    fails: 'the command is the image’s, unless the workload replaces it',
    says: 'Missing expected exception',
  },
  {
    name: 'closed-pipe',
    edits: [
      {
        file: 'packages/cli/src/main.ts',
        find: "if (error.code !== 'EPIPE') process.exit(1)",
        replace: 'process.exit(0)',
      },
    ],
    test: 'packages/cli/src/main.test.ts',
    fails: 'a reader that has gone leaves the exit code as it is',
    inProgram: true,
    says: '0 !== 6',
  },
  {
    name: 'image-key-of-its-own',
    edits: [{ file: ENCRYPT, find: "/${randomBytes(6).toString('hex')}`", replace: '/key`' }],
    test: ENCRYPT_TEST,
    fails: 'gives each image a key of its own, below image-key/',
    inProgram: true,
    says: 'did not match',
  },
  {
    name: 'image-key-replaced',
    edits: [
      {
        file: ENCRYPT,
        find: 'if ((await broker.secrets()).some(({ path }) => path === resource))',
        replace: "if (resource === '')",
      },
    ],
    test: ENCRYPT_TEST,
    fails: 'replaces no key that images may need',
    inProgram: true,
    says: 'owner.image-key-exists',
  },
  {
    name: 'image-key-taken-back',
    edits: [{ file: ENCRYPT, find: 'await imageKey.forget().catch(() => undefined)', replace: '' }],
    test: ENCRYPT_TEST,
    fails: 'takes the key back when the image cannot be written',
    inProgram: true,
    says: 'image-key/app/',
  },
  {
    name: 'withdrawn-image-registered',
    edits: [{ file: REGISTERED, find: "image.state === 'current' &&", replace: '' }],
    test: REGISTERED_TEST,
    fails: 'has none that is withdrawn, and goes back behind none',
    says: 'deep-equal',
  },
  {
    name: 'older-image-registered',
    edits: [
      {
        file: REGISTERED,
        find: 'image.imageVersion >= floor(image)',
        replace: 'floor(image) < 99',
      },
    ],
    test: REGISTERED_TEST,
    fails:
      'has the image that the workload was registered with, and newer ones; none that was older then',
    says: 'deep-equal',
  },
  {
    name: 'anchors-of-registered-image',
    edits: [
      {
        file: REGISTERED,
        find: '(anchors === wanted ? measurements : [])',
        replace: '(anchors === wanted ? measurements : measurements)',
      },
    ],
    test: TRUST_TEST,
    fails:
      'a guest whose image was built anew or removed since keeps its trust while that is registered',
    says: 'verified',
  },
]

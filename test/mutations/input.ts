/** Checks of bad input. */
import type { Mutation } from './mutation.ts'

const PULL = 'packages/oci/src/pull.test.ts'
const ACCEPTED = 'Missing expected rejection'

export const INPUT_MUTATIONS: readonly Mutation[] = [
  {
    name: 'bombs-limited',
    edits: [
      {
        file: 'packages/oci/src/unpack-limits.ts',
        find: 'if (value > limit)',
        replace: 'if (value > limit && limit < 0)',
      },
    ],
    test: PULL,
    fails: 'bombs end at a limit',
    says: 'image.',
  },
  {
    name: 'platform-of-image',
    edits: [
      {
        file: 'packages/oci/src/manifest.ts',
        find: 'if (!matchesPlatform(config, wanted))',
        replace: 'if (wanted === undefined)',
      },
    ],
    test: PULL,
    fails: 'an image for another architecture, an index or an unknown layer type is refused',
    says: ACCEPTED,
  },
  {
    name: 'diff-id',
    edits: [
      {
        file: 'packages/oci/src/layer.ts',
        find: "diffId.verify(plan.descriptor.digest, 'image.diff-id-mismatch')",
        replace: '',
      },
    ],
    test: PULL,
    fails: 'a plain layer whose content has another diff_id is refused',
    says: ACCEPTED,
  },
  {
    name: 'absolute-paths',
    edits: [
      {
        file: 'packages/oci/src/rootfs-paths.ts',
        find: "if (name.startsWith('/')) throw refused(name, 'an absolute path')",
        replace: '',
      },
    ],
    test: 'packages/oci/src/rootfs-writer.test.ts',
    fails: 'absolute paths and paths through .. are refused',
    says: 'Missing expected exception',
  },
  {
    name: 'control-characters',
    edits: [
      {
        file: 'packages/cli/src/escape-text.ts',
        find: '    UNSAFE,\n',
        replace: '    UNSAFE && /never said/g,\n',
      },
    ],
    test: 'packages/cli/src/escape-text.test.ts',
    fails: 'what a host or a forger puts into an error or a check cannot rewrite the terminal',
    says: 'ERR_ASSERTION',
  },
]

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
    name: 'gzip-length',
    edits: [
      {
        file: 'packages/oci/src/gunzip.ts',
        find: 'trailer.readUInt32LE(4) !== length % 2 ** 32',
        replace: 'length < 0',
      },
    ],
    test: 'packages/oci/src/gunzip.test.ts',
    fails: 'a member that is cut off anywhere is refused, as is a wrong length',
    says: ACCEPTED,
  },
  {
    name: 'input-awaited',
    edits: [{ file: 'packages/oci/src/decompressor.ts', find: '    await feeding\n', replace: '' }],
    test: 'packages/oci/src/gunzip.test.ts',
    fails: 'an input that waits loses nothing, even after the end of the data',
    says: 'does not end with its length',
  },
  {
    name: 'bytes-after-layer',
    edits: [
      {
        file: 'packages/oci/src/decompress.ts',
        find: 'if (!(await pieces.isAtEnd()))',
        replace: 'if (pieces === undefined)',
      },
    ],
    test: 'packages/oci/src/decompress.test.ts',
    fails: 'broken compression is refused',
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
  {
    name: 'paths-through-parents',
    edits: [
      {
        file: 'packages/oci/src/rootfs-paths.ts',
        find: "if (parts.includes('..')) throw refused(name, 'a path through ..')",
        replace: '',
      },
    ],
    test: 'packages/oci/src/rootfs-writer.test.ts',
    fails: 'absolute paths and paths through .. are refused',
    says: 'Missing expected exception',
  },
  {
    name: 'paths-through-links',
    edits: [
      {
        file: 'packages/oci/src/rootfs-paths.ts',
        find: "else if (!found.isDirectory()) throw refused(path, 'a path through a link or a file')",
        replace: '',
      },
    ],
    test: 'packages/oci/src/rootfs-writer.test.ts',
    fails: 'a planted link is never followed',
    says: 'Missing expected exception',
  },
  {
    name: 'sizes-of-manifest',
    edits: [
      {
        file: 'packages/oci/src/manifest.ts',
        find: 'size: z.int().min(0).max(MANIFEST_LIMITS.blobBytes)',
        replace: 'size: z.number()',
      },
    ],
    test: 'packages/oci/src/manifest.test.ts',
    fails: 'parseManifest refuses absurd manifests',
    says: 'Missing expected exception',
  },
  {
    name: 'manifest-and-index-in-one',
    edits: [
      {
        file: 'packages/oci/src/manifest.ts',
        find: '  manifests: z.undefined().optional(),',
        replace: '',
      },
    ],
    test: 'packages/oci/src/manifest.test.ts',
    fails: 'parseManifest refuses absurd manifests',
    says: 'Missing expected exception',
  },
  {
    name: 'command-of-image',
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
    name: 'wrong-password-ends',
    edits: [
      {
        file: 'packages/oci/src/registry-client.ts',
        find: 'if (response.status === 401 || response.status === 403)',
        replace: 'if (response.status === 403)',
      },
    ],
    test: 'packages/oci/src/registry-client.test.ts',
    fails: 'a wrong password ends after one more try',
    says: 'registry.failed',
  },
  {
    name: 'port-free',
    edits: [
      {
        file: 'packages/launcher/src/host-ports.ts',
        find: 'if (refusal !== undefined)',
        replace: "if (refusal === 'never')",
      },
    ],
    test: 'packages/launcher/src/host-ports.test.ts',
    fails: 'checkPorts() refuses a port that is taken, and takes it when it is free',
    says: ACCEPTED,
  },
  {
    name: 'address-of-broker-asked',
    edits: [
      {
        file: 'packages/cli/src/owner/local-broker.ts',
        find: 'if (isOther && pinned.isAddressAsked !== true) return false',
        replace: 'if (isOther && pinned.isAddressAsked !== false) return false',
      },
    ],
    test: 'packages/cli/src/owner/local-broker.test.ts',
    fails:
      'ensureBroker() does not replace a broker with another key at an address that the owner asked for',
    says: 'broker.listen',
  },
  {
    name: 'files-of-guest-image',
    edits: [
      {
        file: 'packages/image/src/images.ts',
        find: 'if (sha256 !== expected.sha256)',
        replace: "if (sha256 === '')",
      },
    ],
    test: 'packages/image/src/images.test.ts',
    fails: 'checkGuestImage() refuses a changed, a cut and a missing file',
    says: ACCEPTED,
  },
  {
    name: 'name-of-workload-free',
    edits: [
      {
        file: 'packages/hostd/src/host-ledger.ts',
        find: 'if (taken === undefined && ![...this.#claims].some((claim) => claim.name === name)) return',
        replace: 'if (kind !== undefined) return',
      },
    ],
    test: 'packages/hostd/test/life-cycle.test.ts',
    fails: 'a name is taken until its workload is removed',
    says: 'ERR_ASSERTION',
  },
  {
    name: 'memory-promised-to-others',
    edits: [
      {
        file: 'packages/hostd/src/capacity.ts',
        find: 'if (freeMiB < wantedMiB)',
        replace: 'if (freeMiB < 0 && wantedMiB < 0)',
      },
    ],
    test: 'packages/hostd/src/capacity.test.ts',
    fails: 'checkCapacity() counts memory that is promised to others and not yet used',
    says: ACCEPTED,
  },
  {
    name: 'leftovers-of-hostd-cleared',
    edits: [
      {
        file: 'packages/hostd/src/daemon.ts',
        find: 'await backend.clearLeftovers(vmFolders, kept)',
        replace: '[] as string[]',
      },
    ],
    test: 'packages/hostd/test/restart.test.ts',
    fails: 'a VM that no record names is cleared, and its workload starts anew',
    says: 'EADDRINUSE',
  },
  {
    name: 'version-of-hostd',
    edits: [
      {
        file: 'packages/hostd/src/ensure.ts',
        find: 'if (version !== PRODUCT_VERSION || apiVersion !== HOSTD_API_VERSION)',
        replace: 'if (pid < 0)',
      },
    ],
    test: 'packages/hostd/src/client.test.ts',
    fails: 'ensureHostd() refuses a hostd of another version',
    says: ACCEPTED,
  },
  {
    name: 'clock-follows-broker',
    edits: [
      {
        file: 'packages/agent/src/guest/clock.ts',
        find: 'if (Math.abs(clock.now() - time) > TOLERANCE_MS) await clock.set(time)',
        replace: '',
      },
    ],
    test: 'packages/agent/src/guest/clock.test.ts',
    fails: 'correctClock() follows the broker when the host is ten years off, either way',
    says: 'ERR_ASSERTION',
  },
  {
    name: 'disk-full-of-broker',
    edits: [
      {
        file: 'packages/broker/src/storage/database.ts',
        find: "this.#sqlite.exec('ROLLBACK')\n      throw diskFull(error) ?? error",
        replace: "this.#sqlite.exec('ROLLBACK')\n      throw error",
      },
    ],
    test: 'packages/broker/src/storage/storage.test.ts',
    fails: 'Database.write() says that the disk is full, and goes on when there is room',
    says: 'database or disk is full',
  },
  {
    name: 'key-file-kept',
    edits: [
      {
        file: 'packages/protocol/src/replace-file.ts',
        find: 'linkSync(draft, path)',
        replace: 'renameSync(draft, path)',
      },
    ],
    test: 'packages/protocol/src/replace-file.test.ts',
    fails: 'createFileSync() keeps what stands there, gives it back, and leaves nothing else',
    says: 'ERR_ASSERTION',
  },
  {
    name: 'stage-deadline',
    edits: [
      { file: 'packages/hostd/src/boot-watch.ts', find: '}, deadline)', replace: '}, 2 ** 30)' },
    ],
    test: 'packages/hostd/src/boot-watch.test.ts',
    fails: 'BootWatch is late after the stage whose next one does not come, and says which',
    says: 'never late',
  },
]

/** Generates `src/**\/*_pb.ts` from `proto/`. Needs `protoc` (Debian: protobuf-compiler); its output is committed. */
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'

const packageRoot = join(import.meta.dirname, '..')
const plugin = join(packageRoot, '..', '..', 'node_modules', '.bin', 'protoc-gen-es')

execFileSync(
  'protoc',
  [
    `--plugin=protoc-gen-es=${plugin}`,
    '--es_out=src',
    '--es_opt=target=ts,import_extension=ts',
    '--proto_path=proto',
    'agent-service.proto',
    'guest.proto',
    'ttrpc/ttrpc.proto',
  ],
  { cwd: packageRoot, stdio: 'inherit' },
)

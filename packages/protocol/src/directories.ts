/**
 * Where Cloister keeps things. `CLOISTER_HOME` (default `$XDG_DATA_HOME/cloister`) holds what lasts:
 * `images/` guest images, `cache/` what can be fetched again, `hostd/`, `broker/`, `owner/` (admin key, pins) and `demo/`.
 * The runtime directory (`CLOISTER_RUNTIME_DIR`, else `/run/cloister` for root, else `$XDG_RUNTIME_DIR/cloister`) holds sockets under
 * short names, for a unix socket path is bounded to 107 bytes.
 */
import { homedir } from 'node:os'
import { join } from 'node:path'

export interface Directories {
  readonly home: string
  readonly images: string
  readonly cache: string
  readonly hostd: string
  readonly broker: string
  readonly owner: string
  readonly demo: string
  readonly runtime: string
}

export function directories(environment: NodeJS.ProcessEnv = process.env): Directories {
  const home =
    environment['CLOISTER_HOME'] ??
    join(environment['XDG_DATA_HOME'] ?? join(homedir(), '.local', 'share'), 'cloister')
  return {
    home,
    images: join(home, 'images'),
    cache: join(home, 'cache'),
    hostd: join(home, 'hostd'),
    broker: join(home, 'broker'),
    owner: join(home, 'owner'),
    demo: join(home, 'demo'),
    runtime: runtimeDirectory(environment, home),
  }
}

function runtimeDirectory(environment: NodeJS.ProcessEnv, home: string): string {
  const chosen = environment['CLOISTER_RUNTIME_DIR']
  if (chosen !== undefined) return chosen
  if (process.getuid?.() === 0) return '/run/cloister'
  const xdg = environment['XDG_RUNTIME_DIR']
  return xdg === undefined ? join(home, 'run') : join(xdg, 'cloister')
}

import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { serve, type ServerOptions } from './server.ts'

test("hostd's socket is its own user's alone from the moment it is there", async () => {
  const directory = mkdtempSync(join(tmpdir(), 'cl-socket-'))
  const socketPath = join(directory, 'hostd.sock')
  const umask = process.umask(0)
  try {
    const modes = new Set<number>()
    let isOver = false
    const look = () => {
      const found = statSync(socketPath, { throwIfNoEntry: false })
      if (found !== undefined) modes.add(found.mode & 0o777)
      if (!isOver) setImmediate(look)
    }
    look()
    // What answers calls is not asked.
    await using _server = await serve({ socketPath, log: () => {} } as unknown as ServerOptions)
    isOver = true
    look()
    assert.deepEqual([...modes], [0o600])
  } finally {
    process.umask(umask)
    rmSync(directory, { recursive: true })
  }
})

/** For tests only: matching of codes, and streams in pairs. */
import { Duplex, duplexPair } from 'node:stream'
import { CloisterError } from './error.ts'
import type { ErrorCode } from './errors/catalogue.ts'

/** For `assert.throws` and `assert.rejects`: whether an error has this code. */
export function isCode(code: ErrorCode): (error: unknown) => boolean {
  return (error) => {
    if (error instanceof CloisterError && error.code === code) return true
    throw error
  }
}

/** Two ends of one byte stream. */
export function streamPair(): [Duplex, Duplex] {
  return duplexPair()
}

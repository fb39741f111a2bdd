/** The endorsements of the simulated secure processor: ARK, ASK, VCEK and an empty revocation list, in AMD's form. */
import type { KeyObject } from 'node:crypto'
import { keySigner, spkiOf } from '@cloister/verifier/node/key-signer'
import { SIMULATED_NAMING } from '@cloister/verifier/snp/anchors'
import {
  issueArk,
  issueArkRevocationList,
  issueIntermediate,
  issueVcek,
} from '@cloister/verifier/snp/endorsement-issue'
import { PLATFORM } from './platform.ts'

export interface EndorsementChain {
  /** DER, each. */
  readonly ark: Uint8Array
  readonly ask: Uint8Array
  readonly vcek: Uint8Array
  readonly crl: Uint8Array
}

export interface ChainKeys {
  /** RSA-4096, as AMD's. */
  readonly ark: KeyObject
  readonly ask: KeyObject
  /** P-384. */
  readonly vcek: KeyObject
}

/** As long as AMD's root: nothing here is renewed. */
const YEARS = 25
/** For clocks that differ. */
const SLACK_MS = 3_600_000

export function issueChain(keys: ChainKeys, chipId: Uint8Array, now: Date): EndorsementChain {
  const notBefore = new Date(now.getTime() - SLACK_MS)
  const notAfter = new Date(now)
  notAfter.setUTCFullYear(now.getUTCFullYear() + YEARS)
  const identity = { naming: SIMULATED_NAMING, line: PLATFORM.line, notBefore, notAfter }
  const ark = keySigner(keys.ark)
  const chip = { tcb: PLATFORM.tcb, hardwareId: chipId }
  const list = { thisUpdate: notBefore, nextUpdate: notAfter, revoked: [] }
  return {
    ark: issueArk(identity, spkiOf(keys.ark), ark),
    ask: issueIntermediate(identity, 'ask', spkiOf(keys.ask), ark),
    vcek: issueVcek(identity, chip, spkiOf(keys.vcek), keySigner(keys.ask)),
    crl: issueArkRevocationList(identity, list, ark),
  }
}

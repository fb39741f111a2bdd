/** `cloister.agent.v1.Guest`: evidence for whoever asks with a nonce, and how far the guest is. */
import { create } from '@bufbuild/protobuf'
import { CloisterError } from '@cloister/protocol/error'
import {
  GetEvidenceResponseSchema,
  GetStatusResponseSchema,
  type GetEvidenceRequest,
} from '@cloister/protocol/guest_pb'
import { VERIFY_NONCE_BYTES, verifyReportData } from '@cloister/protocol/report-data'
import type { Attester } from '../attesters/attester.ts'
import type { GuestKey } from '../keys.ts'
import type { GuestStatus } from '../status.ts'
import type { Methods } from './dispatch.ts'

export interface GuestServiceOptions {
  readonly attester: Attester
  readonly agentKey: GuestKey
  readonly channelKey: GuestKey
  /** The exact initdata document. */
  readonly initdata: Uint8Array
  readonly status: () => GuestStatus
}

export function guestMethods(options: GuestServiceOptions): Methods {
  const { attester, agentKey, channelKey, initdata, status } = options
  return {
    async GetEvidence(message) {
      const { nonce } = message as GetEvidenceRequest
      if (nonce.length < VERIFY_NONCE_BYTES.minimum || nonce.length > VERIFY_NONCE_BYTES.maximum)
        throw new CloisterError('request.malformed', { where: 'nonce' })
      const evidence = await attester.attest(
        verifyReportData(nonce, agentKey.spki, channelKey.spki),
      )
      return create(GetEvidenceResponseSchema, {
        tee: attester.tee,
        evidenceJson: Buffer.from(evidence.json),
        agentKey: agentKey.spki,
        channelKey: channelKey.spki,
        initdata,
      })
    },
    GetStatus: async () => create(GetStatusResponseSchema, status()),
  }
}

/** Every mutation: for each check that an attack or bad input must meet, that it is gone. */
import { EVIDENCE_MUTATIONS } from './evidence.ts'
import { GUEST_MUTATIONS } from './guest.ts'
import { INPUT_MUTATIONS } from './input.ts'
import type { Mutation } from './mutation.ts'
import { OWNER_MUTATIONS } from './owner.ts'
import { RELEASE_MUTATIONS } from './release.ts'
import { TDX_MUTATIONS } from './tdx.ts'
import { TPM_MUTATIONS } from './tpm.ts'

export const MUTATIONS: readonly Mutation[] = [
  ...EVIDENCE_MUTATIONS,
  ...RELEASE_MUTATIONS,
  ...TDX_MUTATIONS,
  ...TPM_MUTATIONS,
  ...GUEST_MUTATIONS,
  ...INPUT_MUTATIONS,
  ...OWNER_MUTATIONS,
]

/** A realm's claims in a form that JSON carries without loss: bytes in hex. */
import { toHex } from '../bytes/hex.ts'
import type { Lifecycle } from './platform-claims.ts'
import type { CcaToken } from './token.ts'

export interface CcaClaims {
  readonly tee: 'cca'
  readonly platform: {
    readonly profile: string
    readonly challenge: string
    readonly implementationId: string
    readonly instanceId: string
    readonly config: string
    readonly lifecycle: Lifecycle
    readonly hashAlgorithm: string
    readonly verificationService: string | null
    readonly softwareComponents: readonly {
      readonly type: string | null
      readonly measurement: string
      readonly version: string | null
      readonly signerId: string
      readonly hashAlgorithm: string | null
    }[]
  }
  readonly realm: {
    readonly profile: string | null
    readonly challenge: string
    readonly personalizationValue: string
    readonly initialMeasurement: string
    readonly extensibleMeasurements: readonly string[]
    readonly hashAlgorithm: string
    readonly publicKey: string
    readonly publicKeyHashAlgorithm: string
  }
}

export function ccaClaims({ platform, realm }: CcaToken): CcaClaims {
  const p = platform.claims
  const r = realm.claims
  return {
    tee: 'cca',
    platform: {
      profile: p.profile,
      challenge: toHex(p.challenge),
      implementationId: toHex(p.implementationId),
      instanceId: toHex(p.instanceId),
      config: toHex(p.config),
      lifecycle: p.lifecycle,
      hashAlgorithm: p.hashAlgorithm,
      verificationService: p.verificationService ?? null,
      softwareComponents: p.softwareComponents.map((component) => ({
        type: component.type ?? null,
        measurement: toHex(component.measurement),
        version: component.version ?? null,
        signerId: toHex(component.signerId),
        hashAlgorithm: component.hashAlgorithm ?? null,
      })),
    },
    realm: {
      profile: r.profile ?? null,
      challenge: toHex(r.challenge),
      personalizationValue: toHex(r.personalizationValue),
      initialMeasurement: toHex(r.initialMeasurement),
      extensibleMeasurements: r.extensibleMeasurements.map(toHex),
      hashAlgorithm: r.hashAlgorithm,
      publicKey: toHex(r.publicKeyBytes),
      publicKeyHashAlgorithm: r.publicKeyHashAlgorithm,
    },
  }
}

/** Claims of GPUs and switches in a form that JSON carries without loss: bytes in hex. */
import { toHex } from '../bytes/hex.ts'
import type { NvidiaDevice } from './evidence.ts'
import { OPAQUE, opaqueHex, opaqueText, vbiosVersion } from './opaque-data.ts'
import type { NvidiaReport } from './report.ts'

export interface NvidiaDeviceClaims {
  /** Of the wrapping; nobody signs them. */
  readonly arch: string | null
  readonly uuid: string | null
  readonly nonce: string
  /** By index. */
  readonly measurements: Readonly<Record<string, string>>
  readonly driverVersion: string | null
  readonly vbiosVersion: string | null
  readonly boardId: string | null
  readonly chipSku: string | null
  readonly chipSkuMod: string | null
  readonly project: string | null
  readonly projectSku: string | null
  readonly projectSkuMod: string | null
  readonly gpuInfo: string | null
  readonly cprInfo: string | null
  readonly nvdec0Status: string | null
  readonly protectedPcieStatus: string | null
  readonly switchPdi: string | null
  readonly fwid: string | null
}

export interface NvidiaClaims {
  readonly tee: 'nvidia'
  readonly devices: readonly NvidiaDeviceClaims[]
}

export function nvidiaDeviceClaims(device: NvidiaDevice, report: NvidiaReport): NvidiaDeviceClaims {
  const { opaque, measurements } = report
  const text = (type: number) => opaqueText(opaque, type)
  const hex = (type: number) => opaqueHex(opaque, type)
  return {
    arch: device.arch ?? null,
    uuid: device.uuid ?? null,
    nonce: toHex(report.requestNonce),
    measurements: Object.fromEntries(
      [...measurements].map(([index, { value }]) => [index, toHex(value)]),
    ),
    driverVersion: text(OPAQUE.driverVersion),
    vbiosVersion: vbiosVersion(opaque),
    boardId: hex(OPAQUE.boardId),
    chipSku: text(OPAQUE.chipSku),
    chipSkuMod: text(OPAQUE.chipSkuMod),
    project: text(OPAQUE.project),
    projectSku: text(OPAQUE.projectSku),
    projectSkuMod: hex(OPAQUE.projectSkuMod),
    gpuInfo: hex(OPAQUE.gpuInfo),
    cprInfo: hex(OPAQUE.cprInfo),
    nvdec0Status: text(OPAQUE.nvdec0Status),
    protectedPcieStatus: text(OPAQUE.protectedPcieStatus),
    switchPdi: hex(OPAQUE.switchPdi),
    fwid: hex(OPAQUE.fwid),
  }
}
